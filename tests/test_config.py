"""The site's configuration: composed by Hydra, checked by us, wrong words answered with the nearest right one."""

import pytest

from tef.config import configure, packaged
from tef.errors import ConfigError
from tef.executors import Local
from tef.runtimes import Docker, Podman
from tef.trackers import MLflow, Nowhere


def test_defaults_are_a_local_site_with_mlflow():
    """Without a word of configuration a workstation can evaluate."""
    config = configure([])

    assert config.executor == Local(workers=1)
    assert config.tracker == MLflow(tracking_uri=None)
    assert config.site.runs_dir.name == "runs"


@pytest.mark.parametrize("group", ["runtime", "executor", "tracker", "site"])
def test_every_choice_of_every_group_can_be_built(group):
    """No configuration file that comes with tef is broken."""
    for path in (packaged("configs") / group).glob("*.yaml"):
        configure([f"{group}={path.stem}"])


def test_overrides_reach_what_is_built():
    """A word on the command line changes what runs."""
    config = configure(["runtime=docker", "runtime.gpus=['0','1']", "executor.workers=3", "tracker=none"])

    assert config.runtime == Docker(oci_runtime=None, gpus=("0", "1"))
    assert config.executor == Local(workers=3)
    assert config.tracker == Nowhere()
    assert configure(["runtime=podman"]).runtime == Podman(oci_runtime="auto", gpus=())


def test_values_with_signs_that_hydra_reads_as_syntax_are_taken_as_they_are(tmp_path):
    """A path or an address needs no quoting that a shell user would not expect."""
    config = configure(["tracker.tracking_uri=http://host:5000/?a=b&c={d}", f"site.cohorts.sts-pet={tmp_path}/a b=c"])

    assert config.tracker == MLflow(tracking_uri="http://host:5000/?a=b&c={d}")
    assert str(config.site.cohort("sts-pet")) == f"{tmp_path}/a b=c"


def test_a_site_brings_its_own_files(tmp_path):
    """A hospital keeps its settings outside the program."""
    (tmp_path / "site").mkdir()
    text = "name: hospital\ncohorts_dir: /data\ncohorts: {}\nruns_dir: /runs\nsubmissions_dir: /subs\nbenchmarks_dir: null\n"
    (tmp_path / "site" / "hospital.yaml").write_text(text)

    assert configure(["site=hospital"], tmp_path).site.name == "hospital"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["runtime=dcoker"], "override 'runtime=dcoker': there is no such runtime; did you mean 'docker'?"),
        (["executor.wrkers=2"], "override 'executor.wrkers': there is no such key; did you mean 'executor.workers'?"),
        (["executor.workers=many"], "executor.workers: Input should be a valid integer"),
        (["executor.workers=0"], "executor.workers: Input should be greater than or equal to 1 (got 0)"),
        (["workers"], "override 'workers': is not of the form key=value"),
        (["+foo=1"], "override '+foo=1': is not of the form key=value"),
        (["benchmark.limits.cpus=8"], "override 'benchmark.limits.cpus': there is no such key"),
    ],
)
def test_a_wrong_override_gets_one_line_that_says_what_is_right(overrides, message):
    """An operator's typo is answered in a line, never with a traceback."""
    with pytest.raises(ConfigError) as caught:
        configure(overrides)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["os.system", "subprocess.run", "tef.runtimes.container.container_args", "tef.runtimes.os"])
def test_a_target_that_is_no_plugin_is_refused(tmp_path, target):
    """A configuration file cannot run whatever it likes."""
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "evil.yaml").write_text(f"_target_: {target}\n")

    with pytest.raises(ConfigError, match=r"runtime._target_: '.*' is not allowed; allowed are"):
        configure(["runtime=evil"], tmp_path)
