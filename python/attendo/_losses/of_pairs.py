"""Losses that compare outputs with one another."""
# mypy: disable-error-code="empty-body"

from .._core import InfoNCE, NTXent, Triplet
from .._pages import page


@page(InfoNCE, "attendo.losses")
class _InfoNCE:
    r"""Which rows of two batches belong together: each row has all others of the batch as negatives.

    Parameters
    ----------
    temperature : float
        :math:`\tau`, above 0: the smaller, the more the hardest negatives count.
    symmetric : bool
        The mean of both directions: from the first to the second and back.
    normalize : bool
        Divide each row by its length, so that the scores are cosines.

    Raises
    ------
    ValueError
        When temperature is not above 0; at the call, when there are not two or three predictions of shape
        (samples, features), or the first two differ in shape.
    TypeError
        At the call, when they are not of one float dtype.

    Notes
    -----
    .. math::

        \ell = -\frac1N \sum_i \log \frac{e^{a_i \cdot b_i / \tau}}{\sum_j e^{a_i \cdot b_j / \tau}}

    Called with predictions (a, b), both (N, d), or (a, b, n): rows n (M, d) are negatives for all. The target
    is not looked at and may be None; a Trainer counts its samples. The accuracy is how often the row's own is
    its nearest. A batch worked through in parts has the negatives of its parts.

    References
    ----------
    van den Oord, Li and Vinyals 2018, "Representation learning with contrastive predictive coding", eq. 4.
    Radford et al. 2021, "Learning transferable visual models from natural language supervision", fig. 3.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> a = np.eye(4)
    >>> loss = at.losses.InfoNCE(temperature=0.1)
    >>> loss((a, a), None).item() < 1e-3 < loss((a, a[::-1].copy()), None).item()
    True

    Source: cpp/train/info_nce.cpp
    """

    def __init__(
        self, temperature: float = 0.1, *, symmetric: bool = True, normalize: bool = True
    ) -> None: ...


@page(NTXent, "attendo.losses")
class _NTXent:
    r"""SimCLR's loss of two views: each of 2N rows finds its partner among the 2N - 1 others.

    Parameters
    ----------
    temperature : float
        :math:`\tau`, above 0.

    Raises
    ------
    ValueError
        When temperature is not above 0; at the call, when there are not two predictions of one shape
        (samples, features).
    TypeError
        At the call, when they are not of one float dtype.

    Notes
    -----
    With :math:`z` the 2N rows, each of length 1, and :math:`p(i)` the other view of row i

    .. math::

        \ell = -\frac1{2N} \sum_i \log
        \frac{e^{z_i \cdot z_{p(i)} / \tau}}{\sum_{j \ne i} e^{z_i \cdot z_j / \tau}}

    The target is not looked at and may be None.

    References
    ----------
    Chen et al. 2020, "A simple framework for contrastive learning of visual representations", eq. 1.

    Examples
    --------
    >>> import numpy as np
    >>> import attendo as at
    >>> a = np.eye(2)
    >>> round(at.losses.NTXent(temperature=1.0)((a, a), None).item(), 4)  # log(1 + 2 / e)
    0.5514

    Source: cpp/train/info_nce.cpp
    """

    def __init__(self, temperature: float = 0.5) -> None: ...


@page(Triplet, "attendo.losses")
class _Triplet:
    r"""An anchor nearer to its positive than to its negative, by a margin.

    Parameters
    ----------
    margin : float
        :math:`m`, above 0.
    p : float
        The norm of the distance, 1 or more.
    swap : bool
        Use the nearer of the two, anchor and positive, for the distance to the negative.

    Raises
    ------
    ValueError
        When margin or p is out of range; at the call, when there are not three predictions of one shape
        (samples, features).
    TypeError
        At the call, when they are not of one float dtype.

    Notes
    -----
    .. math::

        \ell = \frac1N \sum_i \max(0,\; D(a_i, p_i) - D(a_i, n_i) + m), \qquad
        D(x, y) = \lVert x - y + 10^{-6} \rVert_p

    Called with predictions (anchor, positive, negative). The target is not looked at and may be None.

    References
    ----------
    Balntas et al. 2016, "Learning local feature descriptors with triplets and shallow convolutional neural
    networks", §3.

    Examples
    --------
    >>> import attendo as at
    >>> at.losses.Triplet(margin=2.0, p=1)(([[0.0]], [[1.0]], [[2.0]]), None)
    Tensor(1.)

    Source: cpp/train/triplet.cpp
    """

    def __init__(self, margin: float = 1.0, p: float = 2.0, *, swap: bool = False) -> None: ...
