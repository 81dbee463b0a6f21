"""Images cropped, shifted, mirrored, cut, with noise, mixed: exact properties and shares."""

import numpy as np
import pytest

import attendo as at

RNG = np.random.default_rng


def images(count=6, channels=2, height=5, width=7, dtype=np.float64):
    size = count * channels * height * width
    return np.arange(1.0, size + 1, dtype=dtype).reshape(count, channels, height, width)


AUGMENTATIONS = [
    at.augment.RandomCrop(2),
    at.augment.RandomCrop((1, 0), mode="reflect"),
    at.augment.RandomShift(1),
    at.augment.RandomShift(2, mode="edge"),
    at.augment.RandomHorizontalFlip(),
    at.augment.Cutout(3),
    at.augment.GaussianNoise(0.1),
    at.augment.GaussianNoise(0.1, clip=(0.0, 1.0)),
    at.augment.Mixup(0.4, num_classes=9),
    at.augment.Mixup(0.4, num_classes=9, per_sample=True),
]


@pytest.mark.parametrize("augment", AUGMENTATIONS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shape_dtype_seed_and_what_was_given_stay(augment, dtype):
    x, y, other = images(dtype=dtype), np.arange(6), np.ones(6)
    x.flags.writeable = y.flags.writeable = False
    before = x.copy()
    (out, same), _ = augment((x, other), (y,), RNG(4))
    assert out.shape == x.shape and out.dtype == dtype and same is other
    np.testing.assert_array_equal(x, before)
    assert (out != x).any() and not np.shares_memory(out, x)
    (again, _), _ = augment((x, other), (y,), RNG(4))
    np.testing.assert_array_equal(out, again)
    assert any((out != augment((x, other), (y,), RNG(seed))[0][0]).any() for seed in (5, 6, 7))


@pytest.mark.parametrize("augment", AUGMENTATIONS, ids=repr)
def test_no_samples(augment):
    x, y = np.zeros((0, 1, 4, 4), np.float32), np.zeros(0, int)
    (out,), _ = augment((x,), (y,), RNG(0))
    assert out.shape == x.shape


def test_every_window_of_a_crop_comes_equally_often():
    x = images(1, 2, 3, 4)
    padded = np.pad(x[0], ((0, 0), (1, 1), (2, 2)))
    windows = {padded[:, a : a + 3, b : b + 4].tobytes(): (a, b) for a in range(3) for b in range(5)}
    many = np.repeat(x, 6000, axis=0)
    (out,), _ = at.augment.RandomCrop((1, 2))((many,), (), RNG(0))
    counts = np.zeros((3, 5))
    for one in out:
        counts[windows[one.tobytes()]] += 1  # a window, both channels alike, and nothing else
    assert abs(counts - 400).max() < 4 * np.sqrt(400)


@pytest.mark.parametrize("mode", ["wrap", "edge", "reflect", "constant"])
def test_shift_moves_by_whole_pixels(mode):
    x = images(200, 1, 5, 6)
    (out,), _ = at.augment.RandomShift((2, 1), mode=mode, fill=-1.0)((x,), (), RNG(0))
    seen = set()
    for new, old in zip(out, x, strict=True):
        options = {"constant_values": -1.0} if mode == "constant" else {}
        around = np.pad(old, ((0, 0), (2, 2), (1, 1)), mode=mode, **options)
        found = [(a, b) for a in range(5) for b in range(3) if (around[:, a : a + 5, b : b + 6] == new).all()]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) == 15
    if mode == "wrap":
        np.testing.assert_array_equal(np.sort(out.reshape(200, -1)), np.sort(x.reshape(200, -1)))


def test_flip_mirrors_the_stated_share():
    x = images(4000, 1, 2, 3)
    (out,), _ = at.augment.RandomHorizontalFlip(0.3)((x,), (), RNG(0))
    mirrored = (out == x[..., ::-1]).all(axis=(1, 2, 3))
    kept = (out == x).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all()
    assert abs(mirrored.mean() - 0.3) < 4 * np.sqrt(0.21 / 4000)


def test_cutout_fills_a_square_around_any_pixel():
    x = np.ones((6400, 2, 8, 8))
    (out,), _ = at.augment.Cutout(3, fill=0.5)((x,), (), RNG(0))
    hole = out[:, 0] == 0.5
    np.testing.assert_array_equal(out[:, 0], out[:, 1])
    rows, columns = hole.any(axis=2), hole.any(axis=1)
    np.testing.assert_array_equal(hole, rows[:, :, None] & columns[:, None, :])
    assert set(rows.sum(axis=1)) == {2, 3} and set(np.abs(np.diff(rows, axis=1)).sum(axis=1)) <= {1, 2}
    # A pixel is cut when a centre lies within one pixel: 3 · 3 of 64 places inside, 2 · 2 in a corner.
    share = hole.mean(axis=0)
    assert abs(share[1:-1, 1:-1].mean() - 9 / 64) < 0.01
    assert abs(share[[0, 0, -1, -1], [0, -1, 0, -1]].mean() - 4 / 64) < 0.01


def test_noise_has_the_stated_spread():
    x = np.zeros((100, 3, 10, 10), np.float32)
    (out,), _ = at.augment.GaussianNoise(0.2)((x,), (), RNG(0))
    assert abs(out.mean()) < 4 * 0.2 / np.sqrt(out.size)
    assert abs(out.std() / 0.2 - 1) < 4 / np.sqrt(2 * out.size)
    (clipped,), _ = at.augment.GaussianNoise(0.2, clip=(-0.1, 0.1))((x,), (), RNG(0))
    np.testing.assert_array_equal(clipped, np.clip(out, np.float32(-0.1), np.float32(0.1)))
    (same,), _ = at.augment.GaussianNoise(0.0)((x,), (), RNG(0))
    np.testing.assert_array_equal(same, x)
    (signal,), _ = at.augment.GaussianNoise(1.0)((np.zeros((5, 7)),), (), RNG(0))  # not only images
    assert signal.shape == (5, 7)


@pytest.mark.parametrize("per_sample", [False, True])
def test_mixup_mixes_inputs_and_targets_by_the_same_share(per_sample):
    count = 50
    x = np.eye(count)[:, None, None, :]  # sample i is the i-th unit vector: the mixture tells its share
    y = np.arange(count)
    mix = at.augment.Mixup(1.0, num_classes=count, per_sample=per_sample)
    (out,), (target,) = mix((x,), (y,), RNG(0))
    np.testing.assert_allclose(out[:, 0, 0], target, rtol=0, atol=1e-15)
    np.testing.assert_allclose(target.sum(axis=1), 1, rtol=1e-14)
    assert ((target > 0).sum(axis=1) <= 2).all()
    np.testing.assert_allclose(target.sum(axis=0), 1, rtol=1e-12) if not per_sample else None
    share = target[np.arange(count), y][(target > 0).sum(axis=1) == 2]
    assert (len(set(share.round(12))) == 1) != per_sample


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_share_is_from_a_beta_distribution(alpha):
    x, y = np.arange(20000.0)[:, None], np.zeros(20000, int)
    (out,), _ = at.augment.Mixup(alpha, num_classes=1, per_sample=True)((x,), (y,), RNG(0))
    # x̃ = λ i + (1 - λ) j with i, j independent: Var x̃ = Var x · E(λ² + (1 - λ)²) = Var x · 2 (1/4 + Var λ)
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(out.var() / x.var() / (2 * (0.25 + variance)) - 1) < 0.02


def test_mixup_takes_probabilities_and_numbers():
    x = np.array([[0.0], [1.0]], np.float32)
    mix = at.augment.Mixup(1.0)
    (a,), (b,) = mix((x,), (x.copy(),), RNG(3))
    np.testing.assert_array_equal(a, b)
    assert b.dtype == np.float32


def test_one_hot_targets_train_with_cross_entropy():
    x, y = RNG(0).normal(size=(8, 4)).astype("float32"), np.arange(8) % 3
    (mixed,), (target,) = at.augment.Mixup(0.2, 3)((x,), (y,), RNG(0))
    loss = at.losses.CrossEntropy()(at.nn.Linear(4, 3, seed=0)(mixed), target)
    assert target.dtype == np.float32 and np.isfinite(loss.item())


def test_compose_is_one_after_the_other_with_one_generator():
    crop, flip = at.augment.RandomCrop(1), at.augment.RandomHorizontalFlip()
    both = at.augment.Compose([crop, flip])
    x = images()
    (out,), _ = both((x,), (), RNG(0))
    rng = RNG(0)
    np.testing.assert_array_equal(out, flip(*crop((x,), (), rng), rng)[0][0])
    (same,), targets = at.augment.Compose([])((x,), (1,), RNG(0))
    assert same is x and targets == (1,)
    (doubled,), _ = at.augment.Compose([lambda i, t, r: ((2 * i[0],), t)])((x,), (), RNG(0))
    np.testing.assert_array_equal(doubled, 2 * x)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: at.augment.RandomCrop(-1), ValueError, "RandomCrop: padding is -1"),
        (lambda: at.augment.RandomCrop((1, 2, 3)), ValueError, "must be a number or"),
        (lambda: at.augment.RandomShift(1, mode="roll"), ValueError, "RandomShift: mode is 'roll'"),
        (lambda: at.augment.RandomShift(1.5), ValueError, "most is 1.5"),
        (lambda: at.augment.RandomHorizontalFlip(2), ValueError, "p is 2"),
        (lambda: at.augment.Cutout(0), ValueError, "size is 0"),
        (lambda: at.augment.GaussianNoise(-1.0), ValueError, "std is -1.0"),
        (lambda: at.augment.GaussianNoise(1.0, clip=(1, 0)), ValueError, "clip is"),
        (lambda: at.augment.Mixup(0.0), ValueError, "alpha is 0.0 but must be above 0"),
        (lambda: at.augment.Mixup(float("inf")), ValueError, "alpha is inf"),
        (lambda: at.augment.Mixup(1.0, num_classes=0), ValueError, "num_classes is 0"),
        (lambda: at.augment.Compose([3]), TypeError, "Compose: 3 cannot be called"),
    ],
)
def test_bad_options(make, error, said):
    with pytest.raises(error, match=said):
        make()


X, Y = np.ones((4, 1, 3, 3)), np.arange(4)


@pytest.mark.parametrize(
    ("augment", "inputs", "targets", "error", "said"),
    [
        (at.augment.RandomCrop(1), (X.astype(np.int64),), (), TypeError, "must be float32 or float64"),
        (at.augment.RandomCrop(1), (X.astype(np.float16),), (), TypeError, "dtype float16"),
        (at.augment.RandomCrop(1), (X[0],), (), ValueError, r"must be \(N, C, H, W\)"),
        (at.augment.RandomCrop(4), (X,), (), ValueError, "more than the 3 × 3"),
        (at.augment.RandomShift((0, 10**12)), (X,), (), ValueError, "more than the 3 × 3"),
        (at.augment.Cutout(1, input=1), (X,), (), ValueError, "input is 1 but there are 1 inputs"),
        (at.augment.Mixup(1.0), (X,), (Y,), ValueError, "num_classes is missing"),
        (at.augment.Mixup(1.0, 3), (X,), (Y,), ValueError, r"holds 3 but must hold 0 to 2"),
        (at.augment.Mixup(1.0, 3), (X,), (Y - 1,), ValueError, "holds -1"),
        (at.augment.Mixup(1.0, 3), (X,), (Y[:2],), ValueError, "must have 4 samples"),
        (at.augment.Mixup(1.0, 3), (X,), (np.array(["a"] * 4),), TypeError, "class indices, float32"),
        (at.augment.Mixup(1.0, 3), (X,), (), ValueError, "target is 0 but there are 0 targets"),
        (at.augment.Mixup(1.0, 4), (Y,), (Y,), TypeError, "dtype int64"),
        (at.augment.Compose([lambda i, t, r: i]), (X,), (), TypeError, "gave no"),
    ],
)
def test_bad_batches(augment, inputs, targets, error, said):
    with pytest.raises(error, match=said):
        augment(inputs, targets, RNG(0))
