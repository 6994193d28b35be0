"""The way of a package to Zenodo and of its record to GitHub.

`publish_package` brings an archive to Zenodo and `announce` opens the issue; a `Journal` beside the
package holds what is done, so that a call that was interrupted is simply made again. Metadata and
tokens have types of their own, which check before anything is sent and show nothing that is secret.
"""

from medmint.publishing.deposit_api import deposit_address
from medmint.publishing.deposition import Archive, Deposition, marker
from medmint.publishing.flow import Deposited, Parcel, abandon, file_link, publish_package
from medmint.publishing.github import announce
from medmint.publishing.issues import (
    LONGEST_BODY,
    Announcement,
    Issue,
    check_repository,
    issue_form,
)
from medmint.publishing.journal import Journal
from medmint.publishing.metadata import (
    Creator,
    DepositMetadata,
    RelatedIdentifier,
    is_orcid,
    licence_id,
)
from medmint.publishing.secret import Token, github_token, zenodo_token
from medmint.publishing.zenodo import ZenodoDeposits

__all__ = [
    "Token",
    "zenodo_token",
    "github_token",
    "Journal",
    "Creator",
    "RelatedIdentifier",
    "DepositMetadata",
    "is_orcid",
    "licence_id",
    "Archive",
    "Deposition",
    "marker",
    "ZenodoDeposits",
    "deposit_address",
    "Parcel",
    "Deposited",
    "file_link",
    "publish_package",
    "abandon",
    "Announcement",
    "Issue",
    "LONGEST_BODY",
    "announce",
    "check_repository",
    "issue_form",
]
