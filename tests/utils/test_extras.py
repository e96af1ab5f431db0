"""Each optional package, absent: the error says who needs it and which extra brings it."""

import subprocess
import sys

import pytest

FIT = "from skvae import VAETransformer; import numpy; X = numpy.eye(4); vae = VAETransformer(2, max_iter=0).fit(X)\n"
NEEDS = {
    "plot": ("matplotlib.pyplot", "skvae.display.ComponentDisplay.from_estimator(vae, X)", "ComponentDisplay"),
    "hover": ("plotly", "skvae.display.LatentSpaceDisplay(X[:, :2]).to_plotly()", "LatentSpaceDisplay.to_plotly"),
    "save": ("safetensors", "vae.save('never.skvae')", "VAETransformer.save"),
    "flows": ("zuko", "vae.set_params(prior='flow').fit(X)", "A normalizing flow"),
    "accelerate": ("accelerate", "vae.set_params(distributed=True).fit(X)", "distributed=True"),
    "onnx": ("skl2onnx", "import skvae.onnx", "skvae.onnx"),
}


@pytest.mark.parametrize("extra", NEEDS)
def test_an_absent_package_is_an_error_that_says_the_extra(extra):
    package, line, caller = NEEDS[extra]
    code = f"import sys; sys.modules[{package!r}] = None; import skvae, skvae.display\n{FIT}{line}"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    said = answer.stderr.strip().splitlines()[-1]
    assert answer.returncode == 1
    assert said.startswith(f"ImportError: {caller}")
    assert said.endswith(f'as the extra "{extra}" of skvae does.')
