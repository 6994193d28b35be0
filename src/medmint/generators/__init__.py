"""The facade: everything medmint does, one method each.

Each part of it has a module: looking, generating, finding, showing, training, judging, adding,
sharing. The methods have a few lines; the work is done by the components that they name.
"""

from __future__ import annotations

from medmint.generators.finding import Finding
from medmint.generators.judging import Judging
from medmint.generators.looking import Looking
from medmint.generators.sharing import Sharing
from medmint.generators.showing import Showing
from medmint.generators.training import Training


class Generators(Looking, Finding, Showing, Training, Judging, Sharing):
    """The models of a catalogue, and what can be done with them.

    Making one reads nothing and contacts no one. Used as a context manager, or closed with
    :meth:`close`, it ends the worker processes that it keeps warm between calls; so does the end
    of the program.

    Parameters
    ----------
    config_manager : ConfigManager, optional
        A catalogue that is already there.
    model_selector : ModelSelector, optional
        A selector that is already there.
    model_executors : list of ModelExecutor, optional
        Executors to begin with.
    model_contributors : list of ModelContributor, optional
        Contributors to begin with.
    initialize_all_models : bool
        Install every model of the catalogue at once; one that fails is reported and passed over.
    catalogue : path or mapping, optional
        A private catalogue instead of the shipped one.
    settings : Settings, optional
        Default: read from the environment.

    Examples
    --------
    >>> from medmint import Generators
    >>> with Generators() as generators:
    ...     samples = generators.generate(10001, num_samples=2, seed=1, save_images=False)
    >>> image, mask = samples[0]
    >>> image.shape, image.dtype, mask.dtype
    ((256, 256), dtype('int16'), dtype('uint8'))
    """
