"""Model weights from the Hub, into its own cache."""

from pathlib import Path

from sama_video.errors import CheckpointError

WANTED = ["*.json", "*.jinja", "*.txt", "*.model", "*.safetensors", "qformer_tokenizer/*"]


def fetch_weights(name: str) -> Path:
    """The folder of a model's files, fetched when they are not here yet; code in the repository is never fetched.

    Raises:
        CheckpointError: There is no such model, or the Hub cannot be reached and the files are not here.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=WANTED))
    except HFValidationError as error:
        raise CheckpointError(
            f"{name!r} is no folder here and no hub id; give 'nano', a folder, or an id such as owner/model."
        ) from error
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{name} is not on this machine and the Hub cannot be reached; connect, or give a folder that holds it."
        ) from error
    except HfHubHTTPError as error:
        why = str(error).splitlines()[0]
        raise CheckpointError(f"the Hub refused {name} ({why}); check the id and your login.") from error
    except OSError as error:
        raise CheckpointError(
            f"{name} cannot be fetched ({error}); connect, or give a folder that holds it."
        ) from error


def cache_folder() -> Path:
    """Where converted checkpoints are kept, beside the Hub's own cache."""
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME) / "sama-video"
