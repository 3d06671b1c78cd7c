"""What the tests of lessons and of the stages that talk start from."""

import pytest

from sama_video.model.presets import preset_config
from sama_video.train.lessons.vocabulary import make_processor


@pytest.fixture(scope="session")
def config():
    return preset_config("nano")


@pytest.fixture(scope="session")
def processor(config):
    return make_processor(config)
