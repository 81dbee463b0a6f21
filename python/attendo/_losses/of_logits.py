"""Losses of logits."""
# mypy: disable-error-code="empty-body"

from typing import TYPE_CHECKING

from .._core import BinaryCrossEntropy, CrossEntropy, Distillation, KLDivergence
from .._pages import page

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@page(CrossEntropy, "attendo.losses")
class _CrossEntropy:
    r"""Cross-entropy of logits: the mean over the targets that count.

    Parameters
    ----------
    ignore_index : int, optional
        Targets with this class index do not count: padding.
    label_smoothing : float
        :math:`\varepsilon`, 0 to 1: this share of each target is spread evenly over all classes.
    weight : array_like, shape (V,), optional
        :math:`u`: how much each class counts, 0 or more.

    Raises
    ------
    ValueError
        When label_smoothing is outside 0 to 1, a weight is negative or all are 0; at the call, as
        :func:`attendo.functional.cross_entropy`.

    Notes
    -----
    .. math::

        \ell = -\frac1N \sum_n w_n \sum_j t_{nj} \log p_{nj}, \quad p = \mathrm{softmax}(x), \quad
        t_j = u_j\,\bigl((1 - \varepsilon)\,\text{onehot}_j + \varepsilon / V\bigr), \quad
        N = \sum_n w_n u_{c_n}

    :math:`w`: the weights of the samples, :math:`c`: the class indices that count; for probabilities
    :math:`N = \sum_n w_n`. Without weights :math:`N` is how many count, and :math:`dx = (p - t) / N`.

    Called with logits (..., V) and class indices (...), or probabilities (..., V). The Trainer's accuracy is
    the share of counting targets whose logit is the largest.

    References
    ----------
    Szegedy et al. 2016, §7. Article 000 §5.2, article 002 §5.2, article 004 §5.3.2.

    Examples
    --------
    >>> import attendo as at
    >>> loss = at.losses.CrossEntropy(ignore_index=0)
    >>> loss
    CrossEntropy(ignore_index=0, label_smoothing=0)
    >>> logits = at.tensor([[0.0, 0.0], [0.0, 5.0]], requires_grad=True)
    >>> loss(logits, [1, 0]).backward()
    >>> logits.grad
    Tensor([[ 0.5, -0.5],
           [ 0. ,  0. ]])

    Source: cpp/train/cross_entropy_loss.cpp, cpp/ops/cross_entropy.cpp
    """

    def __init__(
        self,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        *,
        weight: "ArrayLike | None" = None,
    ) -> None: ...


@page(BinaryCrossEntropy, "attendo.losses")
class _BinaryCrossEntropy:
    r"""Cross-entropy of yes or no, for logits: the mean over all of them.

    Parameters
    ----------
    pos_weight : array_like, shape () or (classes,), optional
        :math:`u`: how much a yes counts; above 1 for more recall, below for more precision.

    Raises
    ------
    ValueError
        When pos_weight is negative; at the call, when target has another shape than the logits, or holds what
        is not 0 to 1.
    TypeError
        At the call, when the logits are not float.

    Notes
    -----
    .. math::

        \ell = -\frac1n \sum_i u\,y_i \log \sigma(x_i) + (1 - y_i) \log(1 - \sigma(x_i))

    Called with logits (samples, ...) and a target of that shape: bool, 0 and 1, or probabilities. The
    accuracy is the share of logits on the right side of 0.

    Examples
    --------
    >>> import attendo as at
    >>> at.losses.BinaryCrossEntropy()([0.0, 100.0], [True, True])
    Tensor(0.34657359)

    Source: cpp/train/pointwise_losses.cpp
    """

    def __init__(self, *, pos_weight: "ArrayLike | None" = None) -> None: ...


@page(KLDivergence, "attendo.losses")
class _KLDivergence:
    r"""How far softmax of logits is from given probabilities: the mean over the rows.

    Raises
    ------
    ValueError
        At the call, when target has another shape than the logits, holds a negative number, or a row of it
        sums to more than 1.001.
    TypeError
        At the call, when the dtypes differ or are not float.

    Notes
    -----
    .. math:: \ell = \frac1N \sum_n \sum_j t_{nj} (\log t_{nj} - \log \mathrm{softmax}(x_n)_j)

    Called with logits (..., V) and probabilities (..., V), which are data: they get no gradient. It is
    PyTorch's ``kl_div(log_softmax(x), t, reduction="batchmean")`` of rows.

    Examples
    --------
    >>> import attendo as at
    >>> at.losses.KLDivergence()([[0.0, 0.0]], [[1.0, 0.0]])
    Tensor(0.69314718)

    Source: cpp/train/distillation.cpp
    """

    def __init__(self) -> None: ...


@page(Distillation, "attendo.losses")
class _Distillation:
    r"""What a teacher says, softened, and what is true: for a student that learns from both.

    Parameters
    ----------
    temperature : float
        :math:`T`, above 0: both softmaxes are of logits divided by it.
    alpha : float
        0 to 1: the share of the teacher.
    ignore_index : int, optional
        Rows with this class index do not count in either term: padding.

    Raises
    ------
    ValueError
        When temperature or alpha is out of range; at the call, when the targets are not two, or shapes
        differ.
    TypeError
        At the call, when the first target holds no class indices, or the logits differ in dtype.

    Notes
    -----
    .. math::

        \ell = \alpha\, T^2\, \mathrm{KL}\bigl(\mathrm{softmax}(y / T) \,\Vert\,
        \mathrm{softmax}(x / T)\bigr) + (1 - \alpha)\, \mathrm{CE}(x, c)

    Called with the student's logits :math:`x` (..., V) and a tuple of targets: class indices :math:`c` (...)
    and the teacher's logits :math:`y` (..., V), which get no gradient.

    References
    ----------
    Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network", §2.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> student, teacher = np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]])
    >>> loss = at.losses.Distillation(temperature=4, alpha=1.0)
    >>> abs(round(loss(student, ([1], teacher)).item(), 6))
    0.0

    Source: cpp/train/distillation.cpp
    """

    def __init__(
        self, temperature: float = 2.0, alpha: float = 0.5, *, ignore_index: int | None = None
    ) -> None: ...
