"""The data set and the model that a config describes."""

from dataclasses import replace

from mdmf_jax.config.config import Config
from mdmf_jax.data.dataset import Dataset
from mdmf_jax.errors import ConfigError
from mdmf_jax.model import FewShotModel
from mdmf_jax.models.encoders.registry import encoder_class
from mdmf_jax.models.model_settings import ModelSettings
from mdmf_jax.training.trainer import trained
from mdmf_jax.weights.pretrained import Pretrained, pinned


def pinned_config(config: Config) -> Config:
    """The config with the encoder's name pinned to what it stands for today.

    Raises:
      UserError: the hub has to be asked for it, and does not answer.
    """
    return replace(config, encoder=replace(config.encoder, path=pinned(config.encoder.path)))


def make_dataset(config: Config) -> Dataset:
    """Finds the videos; those of the demo are generated if need be.

    Raises:
      UserError: videos or lists are missing, or the settings of the data do not fit each other.
    """
    return Dataset(
        config.data,
        config.episode,
        seed=config.seed,
        episodes_per_step=config.train.episodes_per_step,
        modalities=encoder_class(config.encoder_name).modalities,
    )


def make_model(
    config: Config, train_classes: int, pretrained: Pretrained | None = None
) -> FewShotModel:
    """Reads the encoder's files and builds the model.

    Args:
      train_classes: number of the training classes; see `ModelSettings`.
      pretrained: what the encoder starts from, if it is at hand.

    Raises:
      UserError: the files are missing or damaged, or do not fit the settings.
    """
    model = FewShotModel(
        model_settings(config, train_classes),
        pretrained,
        remat=config.train.remat,
        trained=trained(config),
    )
    check_crop(config.data.crop, model)
    return model


def model_settings(config: Config, train_classes: int) -> ModelSettings:
    """What the model of a config consists of."""
    return ModelSettings(
        method=config.method,
        head=config.head,
        encoder_name=config.encoder_name,
        encoder=config.encoder,
        frames=config.data.frames,
        train_classes=train_classes,
        sections=config.sections,
    )


def check_crop(crop: int, model: FewShotModel) -> None:
    """Raises ConfigError unless frames are cropped to the size that the encoder takes."""
    if model.encoder.image_size != crop:
        options = model.settings.encoder
        where = getattr(options, "path", "") or model.settings.encoder_name
        raise ConfigError(
            f"data.crop is {crop}, but the encoder in {where} takes images of "
            f"{model.encoder.image_size} pixels"
        )
