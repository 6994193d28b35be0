"""Contributing a model: checked, tested and packed here, then published.

`ModelContributor` has a method for each step that needs no network; `ContributionFlow` goes through
all of them and on to Zenodo and GitHub.
"""

from medmint.model_contributor.acceptance import ModelReport, ModelTest
from medmint.model_contributor.contribution import ContributionFlow
from medmint.model_contributor.contributor import ModelContributor
from medmint.model_contributor.earlier_calls import abandon_contribution, contribution_status
from medmint.model_contributor.metadata import Given
from medmint.model_contributor.questions import Question
from medmint.model_contributor.record_check import RecordCheck, check_record
from medmint.model_contributor.template_copies import copy_template, template_names
from medmint.model_contributor.terms import Contribution, Terms, read_creators, texts

__all__ = [
    "ModelContributor",
    "Given",
    "Terms",
    "ContributionFlow",
    "Contribution",
    "contribution_status",
    "abandon_contribution",
    "read_creators",
    "texts",
    "RecordCheck",
    "check_record",
    "copy_template",
    "template_names",
    "ModelTest",
    "ModelReport",
    "Question",
]
