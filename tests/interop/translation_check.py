"""A checkpoint of an encoder-decoder model that `transformers` wrote, against what is loaded of it."""

import json

import numpy as np

import attendo as at
from tolerance import assert_same_bits

CLOSE = {"rtol": 0, "atol": 1e-4}  # the project's promise
LISTS = (
    "encoder_hidden_states", "decoder_hidden_states", "encoder_attentions", "decoder_attentions",
    "cross_attentions",
)  # fmt: skip


def randomized(torch, model, pad_row=True):
    """Random numbers in every parameter: the zeros and ones of a start hide mistakes."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                fan_in = parameter.shape[-1] if parameter.ndim > 1 else 4
                parameter.normal_(0, 1.5 / np.sqrt(fan_in))
        for name, buffer in model.named_buffers():
            if name == "final_logits_bias":
                buffer.normal_()
    return model.eval()


def batch(vocab, target_vocab, pad, seed=0):
    """A source with padding behind, before and between its tokens; its mask; the beginning of a target."""
    rng = np.random.default_rng(seed)
    mask = np.array([[1] * 9, [1] * 6 + [0] * 3, [0] * 2 + [1] * 7, [1, 0, 1, 1, 0, 1, 0, 0, 0]], bool)
    tokens = [i for i in range(vocab) if i != pad]
    src = np.where(mask, rng.choice(tokens, mask.shape), pad)
    return src, mask, rng.integers(0, target_vocab, (4, 7))


def assert_same_numbers(torch, theirs, folder, src, mask, tgt, atol=1e-10):
    """Logits, hidden states and attentions in float64; the logits in float32."""
    exact = {"rtol": 0, "atol": atol}
    ours = at.models.load_pretrained(folder, dtype="float64")
    assert ours.load_report.missing == ours.load_report.unexpected == []
    with torch.no_grad():
        expected = theirs.double()(
            torch.tensor(src),
            attention_mask=torch.tensor(mask),
            decoder_input_ids=torch.tensor(tgt),
            output_hidden_states=True,
            output_attentions=True,
        )
    got = ours.outputs(src, tgt, hidden_states=True, attentions=True)
    real = mask[:, :, None]
    np.testing.assert_allclose(got.logits.numpy(), expected.logits.numpy(), **exact)
    for name in LISTS:
        pairs = list(zip(getattr(got, name), getattr(expected, name), strict=True))
        assert pairs
        for mine, his in pairs:
            mine, his = mine.numpy(), his.numpy()
            if name.startswith("encoder"):  # rows of padding lead nowhere
                keep = real if name.endswith("states") else real[:, None]
                mine, his = np.where(keep, mine, 0), np.where(keep, his, 0)
            np.testing.assert_allclose(mine, his, **exact, err_msg=name)
    assert_same_bits(ours(src, tgt, src_mask=mask).numpy(), ours(src, tgt).numpy())
    np.testing.assert_allclose(ours(src, tgt).numpy(), expected.logits.numpy(), **exact)
    single = at.models.load_pretrained(folder)
    np.testing.assert_allclose(single(src, tgt).numpy(), expected.logits.numpy(), **CLOSE)


def assert_written_back(torch, theirs, folder, back, src, mask, tgt):
    """`transformers` opens it with nothing missing and nothing left over, and computes what it did."""
    at.models.load_pretrained(folder).save_pretrained(back)
    again, report = type(theirs).from_pretrained(back, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    before, after = theirs.state_dict(), again.state_dict()
    assert set(before) == set(after)
    for key, value in before.items():
        assert_same_bits(after[key].numpy(), value.numpy(), key)
    known = again.config.to_dict()
    for key, value in theirs.config.to_dict().items():
        if key not in ("architectures", "_name_or_path", "transformers_version"):
            assert known[key] == value, key
    inputs = {"attention_mask": torch.tensor(mask), "decoder_input_ids": torch.tensor(tgt)}
    with torch.no_grad():
        one, two = (m.eval()(torch.tensor(src), **inputs).logits for m in (theirs, again))
    np.testing.assert_allclose(two.numpy(), one.numpy(), rtol=0, atol=1e-5)  # another kernel of attention


# Our names of what `generate` of transformers calls otherwise.
NAMES = {"eos_id": "eos_token_id", "forced_eos_id": "forced_eos_token_id", "bad_words": "bad_words_ids"}


def assert_same_translations(torch, theirs, folder, src, mask, **options):
    """The same tokens as `generate`, in float64; what they are."""
    ours = at.models.load_pretrained(folder, dtype="float64")
    options = {"max_len": 12, **options}
    expected = theirs.double().generate(
        torch.tensor(src),
        attention_mask=torch.tensor(mask),
        max_new_tokens=options["max_len"],
        do_sample=False,
        **{NAMES.get(name, name): value for name, value in options.items() if name != "max_len"},
    )
    got = ours.translate(src, bos_id=theirs.config.decoder_start_token_id, **options)
    expected = expected.numpy()[:, 1:]
    # With beams, `generate` takes padding of id 0 for none and fills rows with the first of eos_id.
    ended = np.cumsum(np.isin(expected, options["eos_id"]), axis=1)
    behind = np.pad(ended, ((0, 0), (1, 0)))[:, :-1] > 0
    np.testing.assert_array_equal(got, np.where(behind, theirs.config.pad_token_id, expected))
    return got


def with_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
