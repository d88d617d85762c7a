"""Small videos made for tests: good ones of many kinds, and broken ones."""

import os
from pathlib import Path

import av
import numpy as np


def picture(number, height=36, width=48):
    """A smooth colour picture that moves with `number`, uint8 [H, W, 3]."""
    y, x = np.mgrid[:height, :width]
    waves = [
        np.sin((x * a + y * b) / 9 + number / c) for a, b, c in ((1, 0, 3), (0, 1, 5), (1, 1, 7))
    ]
    return (127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def pictures(count, height=36, width=48, first=0):
    return np.stack([picture(first + i, height, width) for i in range(count)])


def write(
    path, frames, codec="libx264", pix_fmt="yuv420p", rate=25, times=None, mux=None, **options
):
    """A video file; `times`: of each frame in 1/1000 s; `mux`: options of the container."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(f"file:{path.absolute()}", "w", format=_format(path), options=mux or {}) as file:
        stream = file.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pix_fmt
        if times is not None:
            from fractions import Fraction

            stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(frames):
            kind = "gray" if image.ndim == 2 else "rgb24"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=kind)
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def _format(path):
    return {".mkv": "matroska", ".mpg": "mpeg"}.get(path.suffix, path.suffix[1:])


def turn(path):
    """Marks an MP4 file as taken with an upright phone: a quarter turn clockwise when shown."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    width = int.from_bytes(content[place + 36 : place + 38], "big")
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, width << 16, 0, 1 << 30]
    content[place : place + 36] = np.array(quarter, ">i4").tobytes()
    path.write_bytes(content)
    return path


def halve(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def repeat(path, frame, times):
    """A video of one coded picture again and again: small, and slow to decode to its end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(f"file:{path.absolute()}", "w", format=_format(path)) as file:
        stream = file.add_stream(
            "libx264", rate=25, options={"threads": "1", "preset": "ultrafast"}
        )
        stream.height, stream.width, stream.pix_fmt = *frame.shape[:2], "yuv420p"
        stream.gop_size = 1
        coded = stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")) + stream.encode()
        content = bytes(coded[0])
        for number in range(times):
            packet = av.Packet(content)
            packet.stream, packet.time_base = stream, stream.codec_context.time_base
            packet.pts = packet.dts = number
            packet.duration, packet.is_keyframe = 1, True
            file.mux(packet)
    return path


def sound(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(f"file:{path.absolute()}", "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def huge(path, side=10_000):
    """Pictures of 10,000 x 10,000 pixels, black and white: a small file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(f"file:{path.absolute()}", "w", format=_format(path)) as file:
        stream = file.add_stream("png", rate=25)
        stream.width = stream.height = side
        stream.pix_fmt = "monob"
        file.mux(stream.encode(av.VideoFrame(side, side, "monob")))
        file.mux(stream.encode())
    return path


def good_videos(folder):
    """Videos that must work, by name: (path, number of frames, (height, width) as shown)."""

    def at(name):
        return Path(folder) / name

    grey = np.repeat(pictures(6)[..., :1], 3, axis=-1)
    made = {
        "short GOP": (write(at("short.mp4"), pictures(6), g="1"), 6, (36, 48)),
        "odd size": (write(at("odd.avi"), pictures(5, 37, 51), "ffv1", "yuv444p"), 5, (37, 51)),
        "turned": (turn(write(at("turned.mp4"), pictures(5))), 5, (48, 36)),
        "uneven": (
            write(at("uneven.mkv"), pictures(4), times=[0, 40, 400, 440], bf="0"),
            4,
            (36, 48),
        ),
        "grey": (write(at("grey.mp4"), grey, pix_fmt="gray"), 6, (36, 48)),
        "webm": (write(at("v.webm"), pictures(4), "libvpx", deadline="realtime"), 4, (36, 48)),
        "mpeg": (write(at("program.mpg"), pictures(4), "mpeg2video"), 4, (36, 48)),
    }
    for name in (
        "a b.mp4",
        'it\'s "x".mp4',
        "v#1.mp4",
        "(1.mp4",
        "-i.mp4",
        "naïve é.mp4",
        "%d.mp4",
    ):
        made[name] = (write(at(name), pictures(3)), 3, (36, 48))
    return made


def broken_videos(folder, endless=True):
    """Twelve files that must fail, by path: words that the reason must hold.

    `endless`: whether to make the two that cost seconds (more than 300 frames are too many).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = write(folder.parent / "outside.mp4", pictures(30))
    target.rename(folder / "outside.bin")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is not a video\n" * 40)
    (folder / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\noutside.bin\n#EXT-X-ENDLIST\n")
    (folder / "concat.mp4").write_text("ffconcat version 1.0\nfile outside.bin\n")
    halve(write(folder / "half.mp4", pictures(40)))
    halve(write(folder / "half_fast.mp4", pictures(40), mux={"movflags": "faststart"}))
    halve(write(folder / "cut.avi", pictures(40, 96, 128), "mpeg4", qmin="1", qmax="2"))
    write(folder / "one.mp4", pictures(1))
    huge(folder / "huge.avi")
    sound(folder / "sound.mp4")
    reasons = {
        "empty.mp4": "empty: 0 bytes",
        "text.mp4": "text file",
        "list.mp4": "playlist",
        "concat.mp4": "playlist",
        "half.mp4": "cut short",
        "half_fast.mp4": "damaged or cut short, decoding stopped after frame",
        "cut.avi": "of the 40 frames that its header promises",
        "one.mp4": "has 1 frame",
        "huge.avi": "10000 x 10000 pixels",
        "sound.mp4": "no video stream",
    }
    if endless:
        repeat(folder / "endless.mkv", np.zeros((2160, 3840, 3), np.uint8), 290)
        repeat(folder / "many.mkv", picture(0), 310)
        reasons |= {"endless.mkv": "took longer than", "many.mkv": "gives more than 300 frames"}
    return {os.path.join(folder.name, name): words for name, words in reasons.items()}
