"""List files: formats, and files that are not what they should be."""

import pytest

from mdmf_jax.data.protocols import lists
from mdmf_jax.data.protocols import protocol as protocols
from mdmf_jax.data.protocols.lists import parse_list, require_classes, write_list
from mdmf_jax.errors import DataError

TWISTING = "Twisting (wringing) something wet until water comes out"


@pytest.fixture
def parse(tmp_path):
    def parse(content, protocol=None):
        (tmp_path / "list.txt").write_bytes(
            content if isinstance(content, bytes) else content.encode()
        )
        return parse_list(tmp_path / "list.txt", protocol)

    return parse


@pytest.mark.parametrize(
    ("protocol", "line", "folder", "video"),
    [
        ("hmdb51_arn", "kick_ball/a#(1)[2]+~@&;!b_0", "kick_ball", "a#(1)[2]+~@&;!b_0"),
        ("hmdb51_arn", "test2//videos/kick_ball/x y.AVI", "kick_ball", "x y"),
        ("hmdb51_arn", "test2//flat.avi", "kick_ball", "flat"),
        ("ucf101_arn", "Apply Eye Makeup/v_1.avi", "ApplyEyeMakeup", "v_1"),
        ("kinetics_cmn", "hurling (sport)/-abc.def", "hurling (sport)", "-abc.def"),
        ("kinetics_cmn", "test0//train_256/blasting_sand/-k.mkv", "blasting sand", "-k"),
        ("ssv2_otam", "126/195025", "126", "195025"),
        ("ssv2_otam", "test18/195025", "126", "195025"),
        ("ssv2_otam", "Showing [something] next to [something]/195025.webm", "126", "195025"),
        ("ssv2_cmn", "169/88644", TWISTING, "88644"),
        ("ssv2_cmn", "test0/88644", TWISTING, "88644"),
    ],
)
def test_formats(parse, protocol, line, folder, video):
    protocol = protocols.load(protocol)
    parsed = parse(line, protocol)
    assert require_classes(parsed, protocol)[0].folder == folder
    assert parsed.entries[0].video == video


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [b"", b"\n", b"\r\n", b"\n\n  \n"])
def test_ends_of_lines(parse, start, end, last):
    parsed = parse(start + end.join([b"a/1", b"", b"b b/2"]) + last)
    assert [(e.class_text, e.video, e.line) for e in parsed.entries] == [
        ("a", "1", 1),
        ("b b", "2", 3),
    ]


def test_names_may_be_in_any_script(parse):
    assert parse("прыжок/видео é").entries[0].video == "видео é"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a/1\n../../etc/passwd\n", "line 2: '../../etc/passwd' is not a path within"),
        (b"a/..", "is not a path within"),
        (b"./a", "is not a path within"),
        (b"test1//x/../../y/z.avi", "is not a path within"),
        (b"test1///etc/passwd", "is not a path within"),
        (b"/etc/passwd", "is not a path within"),
        (b"a/", "is not a path within"),
        (b"a/ /b", "is not a path within"),
        (b"C:\\a/1", "is not a path within"),
        (b"a/1\nb/2\x00.avi", "line 2: 'b/2\\\\x00.avi' holds control characters"),
        (b"a/\x1b[31mred", "holds control characters"),
        ("a/x\u2028y".encode(), "holds control characters"),
        (b"a/1\n" + b"x" * 10_000_000, "line 2: is longer than 4096 bytes"),
        (bytes(range(256)) * 4, "holds control characters|is not UTF-8"),
        (b"\x00" * 1000, "holds control characters"),
        (b"caf\xe9/1", "line 1: is not UTF-8"),
        (b"a/1\nno slash", "line 2: 'no slash' is not of the form class/video"),
        (b"a/b/c", "is not of the form class/video"),
        (b"test1/a/b", "is not of the form class/video"),
        (b"", "lists no videos"),
        (b"\xef\xbb\xbf \r\n\n", "lists no videos"),
    ],
)
def test_hostile_files(parse, content, message):
    with pytest.raises(DataError, match=message) as raised:
        parse(content)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500


def test_classes_must_be_the_protocols(parse):
    with pytest.raises(DataError, match="line 2: 'archery' is not a class of hmdb51_arn"):
        parse("kick/1\narchery/2\n", protocols.load("hmdb51_arn"))
    with pytest.raises(DataError, match="folder 'kick' is 'kick', but number test2 is 'kick ball'"):
        parse("test2//kick/1.avi\n", protocols.load("hmdb51_arn"))


def test_places_that_are_no_files(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="is not a file"):
        parse_list(tmp_path)
    with pytest.raises(DataError, match="is not a file"):
        parse_list("/dev/zero")
    with pytest.raises(DataError, match="cannot be read"):
        parse_list(tmp_path / "absent.txt")
    monkeypatch.setattr(lists, "MAX_BYTES", 10)
    (tmp_path / "list.txt").write_text("abc/12345\nb/2\n")
    with pytest.raises(DataError, match="larger than 64 MB"):
        parse_list(tmp_path / "list.txt")


def test_written_lists(tmp_path):
    write_list(tmp_path / "new" / "testlist.txt", ["a/1", "b b/2"])
    assert (tmp_path / "new" / "testlist.txt").read_bytes() == b"a/1\nb b/2\n"

    def breaks():
        yield "a/1"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_list(tmp_path / "new" / "testlist.txt", breaks())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["testlist.txt"]
    assert (tmp_path / "new" / "testlist.txt").read_bytes() == b"a/1\nb b/2\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_list(tmp_path / "file" / "testlist.txt", ["a/1"])
