"""The table of parameters in the HTML repr: headings over groups, rows as scikit-learn writes them."""

import re

import pytest
from sklearn.base import BaseEstimator

from skvae import ELBO, VAETransformer
from skvae._utils.documented import Documented, _table_in_groups

pytestmark = pytest.mark.skipif(
    not hasattr(BaseEstimator, "_get_params_html"), reason="scikit-learn shows parameters in HTML from 1.7 on"
)
CELL = re.compile(r'<th[^>]*>(?P<heading>[^<]+)</th>|<td class="param">\s*(?:<a[^>]*>\s*)?(?P<name>\w+)')


class Grouped(Documented):
    _parameter_groups = {"a": "Letters", "one": "Numbers"}

    def __init__(self, first=0, a=0, b=0, one=1, part=None):
        self.first = first
        self.a = a
        self.b = b
        self.one = one
        self.part = part


def shown(estimator):
    """Headings and, as `.name`, parameters of an HTML repr from top to bottom."""
    return [cell["heading"] or f".{cell['name']}" for cell in CELL.finditer(estimator._repr_html_())]


def test_the_five_parameters_that_matter_most_come_first_under_their_heading():
    first = ["Most important", ".n_components", ".hidden_layer_sizes", ".likelihood", ".max_iter", ".random_state"]
    assert shown(VAETransformer())[:6] == first


def test_each_group_has_its_heading_and_no_parameter_is_left_out():
    cells = shown(VAETransformer(tol=1.0))
    headings = [cell for cell in cells if not cell.startswith(".")]
    assert headings == ["Most important", "Model", "Table", "Training", "Scores and machine"]
    assert sorted(cell[1:] for cell in cells if cell.startswith(".")) == sorted(VAETransformer().get_params())


def test_nested_parameters_are_in_the_group_of_their_component():
    cells = shown(VAETransformer(objective=ELBO(beta=4.0)))
    assert cells.index("Model") < cells.index(".objective__beta") < cells.index("Table")


def test_parameters_before_the_first_group_have_no_heading():
    assert shown(Grouped()) == [".first", "Letters", ".a", ".b", "Numbers", ".one", ".part"]


def test_a_class_without_groups_has_the_table_of_scikit_learn():
    assert shown(ELBO()) == [f".{name}" for name in ("kl", "n_samples", "beta", "free_bits", "gradient")]


def test_values_that_are_set_are_marked_and_escaped():
    table = Grouped(b="</tbody><b>")._repr_html_()
    assert re.search(r'(?s)<tr class="user-set">(?:(?!</tr>).)*>b\W(?:(?!</tr>).)*&lt;/tbody&gt;&lt;b&gt;', table)


def test_a_table_that_is_not_made_of_one_body_stays_as_it_is():
    params = Grouped()._get_params_html()
    params.__class__ = type("Other", (type(params),), {"_html_repr": lambda self: f"<ul>{' '.join(self)}</ul>"})
    assert _table_in_groups(params, {"a": "Letters"}) == "<ul>first a b one part</ul>"
