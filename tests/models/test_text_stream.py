"""Text as its tokens come: whole characters, stop strings however they are cut."""

import numpy as np
import pytest

import attendo as at


def columns(ids, read=None):
    for i in ids:
        if read is not None:
            read.append(i)
        yield np.array([i])


def decoder(pieces):
    """Bytes of each token, as byte-level tokenizers decode them."""
    return lambda ids: b"".join(pieces[i] for i in ids).decode("utf-8", errors="replace")


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 7])
def test_pieces_make_the_text(cut):
    text = "naïve 注意力 🙂 ok, the end of it"
    raw = text.encode()
    pieces = [raw[i : i + cut] for i in range(0, len(raw), cut)]
    got = list(at.models.stream_text(columns(range(len(pieces))), decoder(pieces)))
    assert "".join(got) == text and all(got) and not any("\ufffd" in piece for piece in got)
    assert len(got) > 3


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 50])
def test_stop_strings_however_they_are_cut(cut):
    text = "User: hi\nUsher: yes\n\nUser: more"
    pieces = [text[i : i + cut].encode() for i in range(0, len(text), cut)]
    read = []
    stream = columns(range(len(pieces)), read)
    got = "".join(at.models.stream_text(stream, decoder(pieces), stop=["\n\nUser", "\nUser:"]))
    assert got == "User: hi\nUsher: yes"
    assert len(read) <= (text.index("\n\nUser") + 6) // cut + 1


def test_the_earliest_stop_string_counts():
    pieces = [b"a", b"bcd", b"e"]
    assert "".join(at.models.stream_text(columns(range(3)), decoder(pieces), stop=["d", "bc"])) == "a"


def test_what_was_held_back_comes_at_the_end():
    pieces = [b"x\n", b"\n", b"\xf0\x9f"]
    got = list(at.models.stream_text(columns(range(3)), decoder(pieces), stop=["\n\n\n"]))
    assert "".join(got) == "x\n\n\ufffd" and got[0] == "x"


def test_nothing():
    assert list(at.models.stream_text([], decoder([]))) == []


def test_of_a_stream():
    def step(ids):
        return np.eye(5)[(ids[:, -1] + 1) % 5]

    tokens = at.models.stream(step, [[0]], max_new_tokens=4, eos_id=3)
    assert list(at.models.stream_text(tokens, lambda ids: "".join("abcde"[i] for i in ids))) == [
        "b",
        "c",
        "d",
    ]


@pytest.mark.parametrize(
    ("stop", "error", "says"),
    [
        ("end", TypeError, "stop is 'end'"),
        ([3], TypeError, "stop is"),
        ([""], ValueError, "stop holds an empty"),
    ],
)
def test_wrong_stop(stop, error, says):
    with pytest.raises(error, match=f"^stream_text: {says}"):
        at.models.stream_text(columns([0]), decoder([b"a"]), stop=stop)


def test_several_rows():
    with pytest.raises(ValueError, match=r"^stream_text: tokens have 2 rows but must have one"):
        list(at.models.stream_text([np.array([1, 2])], decoder([b"a"] * 3)))
