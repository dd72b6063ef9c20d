"""The sound track of a video: a tone by its formula, videos without sound, a missing package."""

import sys

import numpy as np
import pytest

from expressnet_jax.data.sound import RATE
from expressnet_jax.data.sound_track import read_sound_track
from expressnet_jax.errors import UserError
from recordings import tone, write_wav
from videos_with_sound import write_video

av = pytest.importorskip("av")


def test_a_stereo_track_is_the_mean_of_its_channels_at_16_khz(tmp_path):
    left, right = tone(440, 1.0, rate=44_100), tone(440, 1.0, rate=44_100, loudness=0.1)
    path = write_video(tmp_path / "talk.mp4", left, right, rate=44_100)
    samples = read_sound_track(path)
    assert samples.dtype == np.int16 and RATE <= len(samples) < RATE + 2048
    middle = samples[RATE // 4 : 3 * RATE // 4] / 32768
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert spectrum.argmax() == 440 // 2  # bins of 2 Hz
    assert np.abs(middle).max() == pytest.approx(0.2, abs=0.02)
    np.testing.assert_array_equal(read_sound_track(path.read_bytes()), samples)


def test_a_video_without_sound_and_what_is_no_video_are_named(tmp_path):
    with pytest.raises(UserError, match="the video has no sound track"):
        read_sound_track(write_video(tmp_path / "mute.mp4"))
    torn = tmp_path / "torn.mp4"
    torn.write_bytes((tmp_path / "mute.mp4").read_bytes()[:100])
    with pytest.raises(UserError, match="no sound that can be decoded"):
        read_sound_track(torn)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"the sound of a video needs av; pip install 'expressnet-jax\[video-sound\]'"):
        read_sound_track(write_wav(tmp_path / "a.wav", tone(440)))
