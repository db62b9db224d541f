"""Videos become frames at their own times, upright, and what is missing is told."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stmem_ros.commands.stmem import main
from stmem_ros.io.bags import BagReader
from stmem_ros.io.video import Video, VideoError
from stmem_ros.stamps import nanoseconds

av = pytest.importorskip("av")
TIMES = (0, 33, 66, 200, 400, 433, 900)  # ms
# In the container's header: a picture that is to be turned by a quarter, as phones write it.
UPRIGHT = b"".join(v.to_bytes(4, "big") for v in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))
TURNED = b"".join(
    v.to_bytes(4, "big", signed=True)
    for v in (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
)  # fmt: skip


def write_video(
    path: Path,
    times: tuple[int, ...] = TIMES,
    options: dict | None = None,
    codec: str = "libx264",
) -> Path:
    """A video whose left half is red; times in ms."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, :48] = 200, 30, 30
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=1000)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time in times:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_stamps_are_the_frames_own_times(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"phone{suffix}")
    assert main(["bag", "create", str(tmp_path / "bag"), "--video", str(path)]) == 0
    with BagReader(tmp_path / "bag") as bag:
        stamps = [nanoseconds(bag.decode(r).header.stamp) for r in bag.records()]
    assert [(stamp - stamps[0]) // 1_000_000 for stamp in stamps] == list(TIMES)


def test_a_rate_that_is_given_goes_before_the_times(tmp_path: Path) -> None:
    path = write_video(tmp_path / "phone.mp4")
    arguments = ["bag", "create", str(tmp_path / "bag"), "--video", str(path), "--rate", "5"]
    assert main(arguments) == 0
    with BagReader(tmp_path / "bag") as bag:
        assert bag.duration == pytest.approx(0.2 * (len(TIMES) - 1))


def test_a_video_that_was_filmed_upright_is_upright(tmp_path: Path) -> None:
    path = write_video(tmp_path / "phone.mp4")
    data = path.read_bytes()
    at = data.rindex(UPRIGHT)  # that of the track
    path.write_bytes(data[:at] + TURNED + data[at + len(UPRIGHT) :])
    frames = [frame.bgr for frame in Video(path).frames()]
    assert frames[0].shape == (96, 64, 3)
    assert frames[0][10, 32, 2] > 150 and frames[0][80, 32, 2] < 60  # red is above


def test_a_video_that_breaks_off_is_told_and_fails(tmp_path: Path, capsys) -> None:
    options = {"movflags": "faststart"}
    path = write_video(tmp_path / "cut.mp4", tuple(range(0, 3000, 33)), options)
    path.write_bytes(path.read_bytes()[:-800])
    video = Video(path)
    count = len(list(video.frames()))
    assert 0 < count < video.announced == 91
    assert f"{count} of 91" in video.problem
    assert main(["bag", "create", str(tmp_path / "bag"), "--video", str(path)]) == 1
    assert f"{count} of 91" in capsys.readouterr().err
    with BagReader(tmp_path / "bag") as bag:
        assert sum(topic.count for topic in bag.topics) == count


def test_of_a_video_without_a_frame_no_bag_is_left(tmp_path: Path, capsys) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(90))  # opened as a video of one picture
    assert main(["bag", "create", str(tmp_path / "bag"), "--video", str(path)]) == 1
    assert "a.mp4" in capsys.readouterr().err
    assert not (tmp_path / "bag").exists()


def test_a_name_may_hold_what_ffmpeg_reads_as_a_protocol(tmp_path: Path, monkeypatch) -> None:
    write_video(tmp_path / "video.mp4").rename(tmp_path / "12:30 ü %03d.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(list(Video(Path("12:30 ü %03d.mp4")).frames())) == len(TIMES)


def test_what_is_no_video_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    for name in ("a.mp4", "none.mp4"):
        with pytest.raises(VideoError, match=name):
            Video(tmp_path / name)


def test_a_whole_video_has_no_problem(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv"):
        video = Video(write_video(tmp_path / f"a{suffix}"))
        frames = list(video.frames())
        assert len(frames) == len(TIMES) and not video.problem


def test_an_avi_of_variable_rate_is_whole_though_it_counts_empty_steps(tmp_path: Path) -> None:
    whole = Video(write_video(tmp_path / "a.avi", codec="mpeg4"))
    assert len(list(whole.frames())) == len(TIMES) < whole.announced
    assert not whole.problem
    path = write_video(tmp_path / "cut.avi", tuple(range(0, 3000, 33)), codec="mpeg4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    cut = Video(path)
    assert 0 < len(list(cut.frames())) < 91
    assert "ends early" in cut.problem


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"hello " * 50, "no video"),
    ],
)
def test_what_is_no_video_is_named(tmp_path: Path, content: bytes, named: str) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=rf"a\.mp4.*{named}"):
        Video(tmp_path / "a.mp4")
