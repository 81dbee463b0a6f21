"""Stand-ins and a short real run, shared by the tests of the demo."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from attendo.demo.dates import source_vocabulary
from attendo.demo.forms import LANGUAGES
from attendo.demo.run import run
from attendo.demo.translator import DateTranslator
from attendo.demo.vocabulary import Vocabulary


class Oracle:
    """A model that answers by a rule; it sees what a model sees: ids, padded."""

    def __init__(self, source: Vocabulary, target: Vocabulary, rule: Callable[[str], str]) -> None:
        self.source, self.target, self.rule = source, target, rule
        self.read: list[str] = []
        self.batches: list[int] = []

    def translate(self, src, *, bos_id, eos_id, max_len):
        assert src.dtype == np.int64 and (bos_id, eos_id) == (1, 2)
        self.batches.append(len(src))
        texts = self.source.decode(src)
        self.read += texts
        return self.target.encode([self.rule(text) for text in texts], max_len, eos=True)


@pytest.fixture
def oracle_translator():
    """rule -> a DateTranslator whose model answers by the rule."""

    def make(rule: Callable[[str], str]) -> DateTranslator:
        source, length = source_vocabulary()
        target = Vocabulary("-0123456789")
        return DateTranslator(Oracle(source, target, rule), source, target, length, LANGUAGES)

    return make


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory):
    """A real run of a few steps: it has learnt nothing, but every part has done its work."""
    return run(seed=1, quick=True, out=tmp_path_factory.mktemp("demo") / "out", progress=False)
