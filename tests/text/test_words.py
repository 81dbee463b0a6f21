"""Words as numbers: the semantics of Keras, by golden cases and a plain second writing."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import attendo as at
from attendo.text import Tokenizer

TEXTS = ["The cat sat on the mat.", "The dog ate my homework!", "cat & dog; the-end"]


def fitted(texts=TEXTS, **options):
    tokenizer = Tokenizer(**options)
    tokenizer.fit_on_texts(texts)
    return tokenizer


def test_the_commonest_word_is_1_and_ties_stand_in_order():
    tokenizer = fitted()
    assert tokenizer.word_index == {
        "the": 1, "cat": 2, "dog": 3, "sat": 4, "on": 5, "mat": 6, "ate": 7, "my": 8, "homework": 9,
        "end": 10,
    }  # fmt: skip
    assert tokenizer.word_counts == {
        "the": 4, "cat": 2, "sat": 1, "on": 1, "mat": 1, "dog": 2, "ate": 1, "my": 1, "homework": 1, "end": 1,
    }  # fmt: skip
    assert tokenizer.word_docs["the"] == 3 and tokenizer.word_docs["cat"] == 2
    assert tokenizer.document_count == 3
    assert tokenizer.index_word[1] == "the"


def test_numbers_and_back():
    tokenizer = fitted()
    assert tokenizer.texts_to_sequences(["The cat ate a mat", "", "nothing of it"]) == [[1, 2, 7, 6], [], []]
    assert tokenizer.sequences_to_texts([[1, 2, 7, 6], [0, 0, 3, 99], []]) == ["the cat ate mat", "dog", ""]


def test_the_trap_of_num_words():
    """num_words=3 keeps two words: Keras counts the 0 of padding too. The index still has all."""
    tokenizer = fitted(num_words=3)
    assert len(tokenizer.word_index) == 10
    assert tokenizer.texts_to_sequences(TEXTS) == [[1, 2, 1], [1], [2, 1]]
    assert tokenizer.sequences_to_texts([[1, 2, 3]]) == ["the cat"]
    assert fitted(num_words=1).texts_to_sequences(TEXTS) == [[], [], []]


def test_oov_is_1_and_counts_as_a_word():
    tokenizer = fitted(oov_token="<oov>", num_words=3)
    assert tokenizer.word_index["<oov>"] == 1 and tokenizer.word_index["the"] == 2
    assert tokenizer.texts_to_sequences(["the cat", "a a"]) == [[2, 1], [1, 1]]
    assert tokenizer.sequences_to_texts([[2, 3, 0]]) == ["the <oov> <oov>"]
    assert Tokenizer(oov_token="?").texts_to_sequences(["never fitted"]) == [[1, 1]]


def test_an_oov_token_in_the_texts_stays_1():
    tokenizer = fitted(["a unk unk unk b"], oov_token="unk")
    assert tokenizer.word_index == {"unk": 1, "a": 2, "b": 3}
    assert tokenizer.texts_to_sequences(["unk a zzz"]) == [[1, 2, 1]]


def test_what_is_filtered():
    """The apostrophe is not; a filtered character ends a word."""
    assert fitted(["it's a-b c_d e\tf\ng"]).word_index == {
        "it's": 1,
        "a": 2,
        "b": 3,
        "c": 4,
        "d": 5,
        "e": 6,
        "f": 7,
        "g": 8,
    }
    assert fitted(["It's A-B"], filters="", lower=False).word_index == {"It's": 1, "A-B": 2}
    assert fitted(["a,b c,,d"], filters=" ", split=",").word_index == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert fitted(["a--b-c"], filters="", split="--").word_index == {"a": 1, "b-c": 2}


def test_characters_and_lists_of_words():
    characters = fitted(["Abba c"], char_level=True)
    assert characters.word_index == {"a": 1, "b": 2, " ": 3, "c": 4}
    assert characters.texts_to_sequences(["cab"]) == [[4, 1, 2]]
    assert characters.sequences_to_texts([[4, 1]]) == ["c a"]
    listed = fitted([["New York", "is", "New York"], ("is", "it?")])
    assert listed.word_index == {"new york": 1, "is": 2, "it?": 3}
    assert listed.texts_to_sequences([["NEW YORK", "it?"]]) == [[1, 3]]


def test_the_article():
    """Article 004 §5.3.1: Chinese sentences without spaces are one word each, numbers 1, 2 and 3."""
    texts = ["我爱北京天安门", "天安门上太阳升", "北京风光好"]
    assert fitted(texts, num_words=5).texts_to_sequences(texts) == [[1], [2], [3]]
    by_character = fitted(texts, char_level=True)
    assert by_character.word_index["天"] < by_character.word_index["我"]


def test_fitting_again_goes_on_counting():
    tokenizer = fitted(["b a"])
    assert tokenizer.word_index == {"b": 1, "a": 2}
    tokenizer.fit_on_texts(iter(["a c"]))
    assert tokenizer.word_index == {"a": 1, "b": 2, "c": 3} and tokenizer.document_count == 2


def plain(texts, num_words, oov):
    """The same in few words: counts, ranks, numbers."""
    counts = Counter(word for text in texts for word in text.split())
    ranked = sorted(counts.items(), key=lambda pair: -pair[1])
    first = 1 if oov is None else 2
    index = {word: number for number, (word, _) in enumerate(ranked, first)}
    limit = num_words or len(index) + first
    rows = []
    for text in texts:
        row = [index[word] if index[word] < limit else (None if oov is None else 1) for word in text.split()]
        rows.append([number for number in row if number is not None])
    return index, rows


@given(
    st.lists(st.lists(st.sampled_from("abcdefg"), max_size=8).map(" ".join), max_size=6),
    st.none() | st.integers(1, 9),
    st.none() | st.just("<oov>"),
)
def test_against_a_second_writing(texts, num_words, oov):
    tokenizer = fitted(texts, num_words=num_words, oov_token=oov)
    index, rows = plain(texts, num_words, oov)
    assert {w: n for w, n in tokenizer.word_index.items() if w != oov} == index
    assert tokenizer.texts_to_sequences(texts) == rows
    again = Tokenizer.from_json(tokenizer.to_json())
    assert again.texts_to_sequences(texts) == rows and again.to_json() == tokenizer.to_json()


def test_json_is_that_of_keras():
    """As keras.preprocessing.text.tokenizer_from_json reads it: the dicts are strings of JSON."""
    tokenizer = fitted(oov_token="<oov>", num_words=4)
    outer = json.loads(tokenizer.to_json())
    assert outer["class_name"] == "Tokenizer"
    config = outer["config"]
    assert set(config) == {
        "num_words", "filters", "lower", "split", "char_level", "oov_token", "document_count", "word_counts",
        "word_docs", "index_docs", "index_word", "word_index",
    }  # fmt: skip
    assert json.loads(config["index_word"])["1"] == "<oov>"
    assert json.loads(config["index_docs"]) == {
        str(tokenizer.word_index[word]): n for word, n in tokenizer.word_docs.items()
    }
    again = Tokenizer.from_json(tokenizer.to_json())
    assert vars(again) == vars(tokenizer)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "3", '{"config": 3}', '{"config": {}}', "[" * 100_000, '{"config": {"word_counts": 3}}'],
)
def test_json_of_something_else(text):
    with pytest.raises(ValueError, match="from_json: this is not the JSON of a Tokenizer"):
        Tokenizer.from_json(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [("word_index", '{"a": "1"}'), ("word_index", '{"a": -1}'), ("word_counts", "[]"), ("num_words", "3"),
     ("document_count", None), ("split", ""), ("word_docs", '{"a": 1.5}')],
)  # fmt: skip
def test_json_of_wrong_types(key, value):
    outer = json.loads(fitted().to_json())
    outer["config"][key] = value
    with pytest.raises(ValueError, match="from_json: this is not the JSON of a Tokenizer"):
        Tokenizer.from_json(json.dumps(outer))


def test_bad_arguments():
    for value, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), ("3", TypeError)):
        with pytest.raises(error):
            Tokenizer(num_words=value)
    for options in ({"split": ""}, {"oov_token": ""}):
        with pytest.raises(ValueError, match="is empty"):
            Tokenizer(**options)
    for options in ({"filters": None}, {"split": 3}, {"oov_token": 1}):
        with pytest.raises(TypeError, match="but must be a str"):
            Tokenizer(**options)
    for text in (3, None, b"bytes", ["a", 3], {"a": 1}):
        with pytest.raises(TypeError, match="but must be a str or a list of words"):
            at.text.Tokenizer().fit_on_texts([text])
    for call in (Tokenizer().fit_on_texts, Tokenizer().texts_to_sequences):
        with pytest.raises(TypeError, match="texts is a str but must be a list"):
            call("one text")
