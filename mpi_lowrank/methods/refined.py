"""EF21 refined: weights per worker, memory of what was not sent, the better of two messages."""

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import xi
from mpi_lowrank.methods.error_feedback import EF21


@methods.register("EF21-W")
class Weighted(EF21):
    """EF21 of grad f_i(x) / (n w_i) with weights w_i = L_i / sum L_j; x -= gamma sum w_i g_i.

    Richtarik, Gasanov, Burlachenko 2024 (Error Feedback Reloaded): gamma <= 1/(L + L_mean
    xi(alpha)), with the mean of the L_i in place of their root mean square. Equal L_i make it EF21.
    """

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        L_i = setting.constants.L_i
        if not np.isfinite(L_i).all():
            raise UserError(
                f"method {self.name}: its weights are the L_i, which this problem does not know; "
                "take method EF21"
            )
        self._weights = (L_i / L_i.sum()).astype(self.x.dtype)
        local = self._weights[setting.numbers, np.newaxis]
        self._in_mean = setting.total * local
        """n w_i of the local workers, (workers, 1): g is the mean of n w_i g_i."""
        self._scaled = np.zeros_like(self._difference)

    def target(self, t):
        return np.divide(super().target(t), self._in_mean, out=self._scaled)

    def _news(self, t, **ways):
        return super()._news(t, weights=self._weights, **ways)

    def estimate_error(self):
        """The g_i times n w_i, whose mean is g."""
        return (self._in_mean * self._estimates, self._estimate) if self._stores else None

    def estimate_change(self):
        change = super().estimate_change()
        return None if change is None else self._in_mean * change

    @classmethod
    def theory_stepsize(cls, constants, compressor, options):
        plain = super().theory_stepsize(constants, compressor, options)  # refuses without an alpha
        if compressor.linear:
            return plain
        return 1 / (constants.L + constants.L_mean * xi(compressor.alpha))


@methods.register("EControl")
class EControl(EF21):
    """c_i = C(eta e_i + grad f_i(x) - g_i); e_i += grad f_i(x) - g_i - c_i; g_i += c_i.

    Gao, Islamov, Stich 2023: what EF21 did not send is kept, and sent little by little. eta = 0 is
    EF21. The stepsize is EF21's: the paper's own, for eta of the order of alpha, has constants too
    small for practice, and is not proved here.
    """

    eta: float = option(0.01)

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._kept = setting.state.rows("e_i", self.x.size)
        self._sent = np.zeros_like(self._difference)

    def _news(self, t, **ways):
        behind = np.asarray(self._behind_target(t))
        np.multiply(self._kept, self.eta, out=self._sent)
        self._sent += behind
        own, mean = self.exchange(self._sent, self._through(t), **ways | {"own": True})
        self._kept += behind
        self._kept -= own
        return own, mean

    @classmethod
    def check(cls, options):
        super().check(options)
        if not 0 <= options.eta <= 1:
            raise OptionError("eta", options.eta, "a number from 0 to 1")


@methods.register("EF21+")
class Plus(EF21):
    """g_i = C(grad f_i(x)) where that is strictly nearer to grad f_i(x), else as in EF21.

    Richtarik, Sokolov, Fatkhullin 2021, algorithm 3: g_i is never farther off than EF21's, so
    EF21's theorem holds. A byte per worker, which is counted, tells which of the two a message is.
    Receivers keep the g_i of all workers: from C(grad f_i) alone they could not tell how mean g_i
    moves.
    """

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._known = setting.state.array("all g_i", (setting.total, self.x.size))
        self._heard = np.zeros_like(self._known)
        self._plain = np.zeros(len(setting.numbers), bool)
        self._moved = np.zeros_like(self._difference)

    def _learn(self, t):
        compressor, gradients = self._through(t), self.target(t)
        np.subtract(gradients, self._estimates, out=self._difference)
        whole, apart = (self._error(rows, compressor) for rows in (gradients, self._difference))
        plain = np.less(whole, apart, out=self._plain)[:, np.newaxis]
        np.copyto(self._difference, gradients, where=plain)
        flags = self.exchange.flags(self._plain)
        own, _ = self.exchange(self._difference, compressor, share=False)
        assert own is not None
        np.copyto(self._moved, own)
        np.subtract(own, self._estimates, out=self._moved, where=plain)
        np.copyto(self._estimates, 0, where=plain)
        self._estimates += own
        self._add_up(compressor, flags[:, np.newaxis])

    def _add_up(self, compressor, plain):
        """Renew the g_i of all workers from their messages, and g, their mean."""
        self.exchange.everyone(compressor, self._heard)
        np.copyto(self._known, 0, where=plain)
        self._known += self._heard
        np.mean(self._known, axis=0, out=self._estimate)
        self.exchange.tell(self._estimate)

    def _error(self, rows, compressor):
        gap = np.subtract(self.exchange.preview(rows, compressor), rows, out=self._moved)
        return np.einsum("wd,wd->w", gap, gap)

    def estimate_change(self):
        return self._moved

    def guarantee(self, constants):
        return super().guarantee(constants)

    @classmethod
    def admit(cls, compressor):
        super().admit(compressor)
        if compressor.shared:
            raise UserError(
                f"method {cls.name}: with {compressor.name}, which is Allreduced, no worker knows "
                "what its own message stands for; take one that has messages, such as topk, or EF21"
            )
