"""One model for each of many related small tables: alone, all together, or shrunken towards each other.

With groups g (schools, shops, patients), columns centred and scaled over all training rows, and (b, w) the
pooled fit of all rows, the shrunken fit of a group solves::

    min over b_g, w_g of
    sum_{i in g} v_i L(y_i, b_g + o_i + x_i'w_g)  +  c (b_g - b)^2 / 2  +  d |w_g - w|^2 / 2,

the equation of `metafit.solve` with a centre and alpha = c / (sum of the group's weights). The pooled fit
weighs as much as c rows in the level and as d rows in the slopes: a small group leans on it more than a large
one. With c = d = 0 each group stands alone, with c = d = infinity all are one. c and d are shared by all
groups and chosen, like the mode itself, on held-out rows of all groups.

For the squared loss and Gaussian effects this is the posterior mode of a random-effects model with
c = sigma^2 / Var(b_g) and d = sigma^2 / Var(w_gj): Efron and Morris (1973), Stein's estimation rule and its
competitors, JASA 68, 117-130; Lindley and Smith (1972), Bayes estimates for the linear model, JRSS B 34,
1-41.
"""

from metafit.fit_tasks.fitting import fit_tasks
from metafit.fit_tasks.result import TaskFits

__all__ = ["TaskFits", "fit_tasks"]
