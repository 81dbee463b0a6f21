"""Magnitude pruning: exactly the smallest, kept at zero through training, and what it costs."""

import numpy as np
import pytest

import attendo as at

LOSS = at.losses.CrossEntropy()
prune = at.compress.prune


def small(dtype="float64", seed=0):
    nn = at.nn
    return nn.Sequential(
        nn.Linear(6, 9, dtype=dtype, seed=seed), nn.ReLU(), nn.Linear(9, 3, dtype=dtype, seed=seed + 1)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.99])
def test_the_smallest_of_all_matrices_together(dtype, share):
    model = small(dtype)
    before = model.state_dict()
    masks = prune.magnitude(model, share).masks
    after = model.state_dict()
    names = ["0.weight", "2.weight"]
    sizes = np.concatenate([np.abs(before[name]).ravel() for name in names])
    kept = np.concatenate([masks[name].ravel() for name in names])
    assert (~kept).sum() == int(share * sizes.size)
    assert not share or sizes[~kept].max() <= sizes[kept].min()
    for name in before:
        mask = masks.get(name, True)
        np.testing.assert_array_equal(after[name], np.where(mask, before[name], 0))
        assert not np.signbit(after[name][after[name] == 0]).any() or name not in masks


def test_each_matrix_its_own():
    model = small()
    model[2].weight.assign(100 * model[2].weight.numpy())  # together, all zeros would be in the first
    masks = prune.magnitude(model, 0.5, scope="layer").masks
    assert [int((~mask).sum()) for mask in masks.values()] == [27, 13]
    together = prune.magnitude(small(), 0.5).masks
    assert [int((~mask).sum()) for mask in together.values()] != [27, 13]


def test_which_parameters():
    model = at.models.EncoderClassifier(20, 8, 2, 1, 6, 3, seed=0)
    names = prune.magnitude(model, 0.5).masks
    assert names.keys() == {
        "text.encoder.layers.0.self_attn.in_proj_weight",
        "text.encoder.layers.0.self_attn.out_proj.weight",
        "text.encoder.layers.0.feed_forward.linear1.weight",
        "text.encoder.layers.0.feed_forward.linear2.weight",
        "classifier.weight",
    }
    table = ["text.embedding.weight"]
    assert [*prune.magnitude(model, 0.5, parameters=table).masks] == table


@pytest.mark.parametrize(
    "optimizer",
    [
        at.optim.Adam(lr=0.01),
        at.optim.AdamW(lr=0.01, weight_decay=0.1),
        at.optim.SGD(lr=0.1, momentum=0.9, nesterov=True),
    ],
    ids=repr,
)
def test_zeros_stay_zero_to_the_bit_and_the_rest_learns(optimizer):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6)), rng.integers(0, 3, 40)
    model = small()
    trainer = at.train.Trainer(model, LOSS, optimizer, seed=0)
    trainer.fit(x, y, epochs=2, batch_size=8, progress=False)  # momentum that pulls at what is pruned
    pruned = prune.magnitude(model, 0.5)
    start = model.state_dict()
    seen = []

    class Look(at.callbacks.Callback):
        def on_batch_end(self, trainer, info):
            seen.append(all((model.state_dict()[n][~m] == 0).all() for n, m in pruned.masks.items()))

    trainer.fit(x, y, epochs=3, batch_size=8, callbacks=[pruned, Look()], progress=False)
    assert len(seen) == 15 and all(seen)
    for name, mask in pruned.masks.items():
        value = model.state_dict()[name]
        assert value[~mask].tobytes() == bytes(8 * int((~mask).sum()))
        assert (value[mask] != start[name][mask]).all()


def test_masks_in_a_checkpoint():
    model = small()
    pruned = prune.magnitude(model, 0.5)
    other = prune.magnitude(small(seed=7), 0.3)
    other.load_state_dict(pruned.state_dict())
    for name, mask in pruned.masks.items():
        np.testing.assert_array_equal(other.masks[name], mask)
    with pytest.raises(ValueError, match="of other parameters"):
        other.load_state_dict({"0.weight": pruned.masks["0.weight"]})


def test_ties_are_broken_by_place():
    model = at.nn.Linear(4, 4, seed=0)
    model.weight.assign(np.ones((4, 4), "float32"))
    prune.magnitude(model, 0.5)
    np.testing.assert_array_equal(model.weight.numpy(), np.repeat([[0.0], [0.0], [1.0], [1.0]], 4, axis=1))


def test_sparsity_counts():
    model = small()
    model[0].bias.assign(np.zeros(9))
    assert prune.sparsity(model).share == 9 / 93
    prune.magnitude(model, 0.5)
    report = prune.sparsity(model)
    assert dict((name, zeros) for name, _, zeros in report.rows)["0.bias"] == 9
    assert abs(report.share - (40 + 9) / 93) < 1e-12
    assert str(report).splitlines()[-1].split() == ["all", "93", "49", "52.7%"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: prune.magnitude(m, 1.0), r"share is 1\.0 but must be 0 or more and below 1"),
        (lambda m: prune.magnitude(m, -0.1), r"share is -0\.1"),
        (lambda m: prune.magnitude(m, 0.5, scope="row"), "scope is 'row'"),
        (lambda m: prune.magnitude(m, 0.5, parameters=["w"]), "parameters holds 'w'"),
        (lambda m: prune.magnitude(m, 0.5, parameters=[]), "no matrix to prune"),
        (lambda m: prune.magnitude(at.nn.LayerNorm(4), 0.5), "no matrix to prune"),
    ],
)
def test_bad_calls(call, said):
    with pytest.raises(ValueError, match=said):
        call(small())


def test_a_share_that_is_no_number():
    with pytest.raises(TypeError, match="magnitude: share is a str but must be a number"):
        prune.magnitude(small(), "a")


@pytest.mark.parametrize("make", [lambda m: m.to_int8(), at.compress.quantize])
def test_an_int8_model_is_refused_by_name(make):
    model = at.models.EncoderClassifier(10, 8, 2, 1, 6, 2, pooling="mean", seed=0)
    worth = prune.head_importance(model, LOSS, np.ones((2, 6), int), [0, 1])
    make(model)
    with pytest.raises(ValueError, match=r"^magnitude: the model is int8 \(.* is quantized\)"):
        prune.magnitude(model, 0.5)
    for method in ("gradient", "ablation"):
        with pytest.raises(ValueError, match=r"^head_importance: the model is int8 \(.* is quantized\)"):
            prune.head_importance(model, LOSS, np.ones((2, 6), int), [0, 1], method=method)
    with pytest.raises(ValueError, match=r"^heads: the model is int8"):
        prune.heads(model, 1, worth)


# ------------------------------------------------------------------------------------------------- the effect


def topics(seed):
    """800 and 2,000 texts of 12 to 24 words on 4 subjects, which are the frequencies of 297 words."""
    rng = np.random.default_rng(seed)
    share = np.exp(0.8 * rng.standard_normal((4, 297))) / np.arange(1, 298)
    share /= share.sum(axis=1, keepdims=True)

    def drawn(count):
        y = rng.integers(0, 4, count)
        ids = np.zeros((count, 24), dtype=np.int64)
        for row, subject in zip(ids, y, strict=True):
            length = rng.integers(12, 25)
            row[:length] = 3 + rng.choice(297, length, p=share[subject])
        return (ids, ids != 0), y

    return drawn(800), drawn(2000)


def tuned(model, data, seed, epochs, lr, callbacks=()):
    trainer = at.train.Trainer(model, LOSS, at.optim.Adam(lr=lr), seed=seed)
    trainer.fit(*data, epochs=epochs, batch_size=32, callbacks=callbacks, progress=False)
    return trainer


@pytest.mark.parametrize(
    "seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_half_the_weights_and_half_the_heads_cost_at_most_three_points(seed):
    train, test = topics(seed)
    model = at.models.EncoderClassifier(300, 32, 4, 2, 24, 4, pooling="mean", norm_eps=1e-5, seed=seed)
    whole = tuned(model, train, seed, 6, 2e-3).evaluate(*test)["accuracy"]
    some = tuple(x[:200] for x in train[0]), train[1][:200]
    worth = prune.head_importance(model, LOSS, *some, batch_size=10)
    fewer = prune.heads(model, 2, worth)
    assert whole >= 0.85
    assert tuned(fewer, train, seed, 2, 1e-3).evaluate(*test)["accuracy"] >= whole - 0.03
    assert fewer.num_parameters() == model.num_parameters() - 2 * (4 * 16 * 32 + 3 * 16)
    sparse = at.models.EncoderClassifier(**model.config)
    sparse.load_state_dict(model.state_dict())
    masks = prune.magnitude(sparse, 0.5)
    assert tuned(sparse, train, seed, 2, 1e-3, [masks]).evaluate(*test)["accuracy"] >= whole - 0.03
    table = at.compress.compare({"whole": model, "fewer": fewer, "sparse": sparse}, *test)
    assert table["whole"]["accuracy"] == whole
    assert table["fewer"]["bytes"] < table["whole"]["bytes"] - 4 * 4000
    assert table["sparse"]["zeros"] > 0.3 > 0.05 > table["whole"]["zeros"]


def test_the_average_of_the_weights_is_pruned_too():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 8)).astype("f4")
    model = at.nn.Linear(8, 4, seed=0)
    pruned = at.compress.prune.magnitude(model, 0.5)
    t = at.train.Trainer(model, at.losses.MeanSquaredError(), at.optim.Adam(0.05), average=0.9)
    t.fit(x, x[:, :4], epochs=2, callbacks=[pruned], progress=False)
    assert (model.weight.numpy() == 0).sum() == 16
    with t.averaged():
        assert (model.weight.numpy() == 0).sum() == 16
