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


SITE = "name: hospital\ncohorts_dir: /data\ncohorts: {}\nruns_dir: /runs\nsubmissions_dir: /subs\nbenchmarks_dir: null\n"

TRACKER = "_target_: tef.trackers.MLflow\n"


@pytest.mark.parametrize("folder", ["plain", "with space, comma='and' [more]"])
def test_a_site_brings_its_own_files(tmp_path, folder):
    """A hospital keeps its settings outside the program, in a folder of any name."""
    write(tmp_path / folder / "site" / "hospital.yaml", SITE)

    assert configure(["site=hospital"], tmp_path / folder).site.name == "hospital"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


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
        (["site.name=${nope}"], "site.name: Interpolation key 'nope' not found; give it a value"),
        (["site.name=${site.name}"], "site.name: Recursive interpolation detected; give it a value"),
        (["runtime.gpus=0,1"], "runtime.gpus: must be a list, such as [0,1] (got '0,1')"),
        (["runtime.gpus=0"], "runtime.gpus: must be a list, such as [0,1] (got 0)"),
        (["runtime=docker", "runtime.gpus=0,1"], "runtime.gpus: must be a list, such as [0,1] (got '0,1')"),
        (["runtime=docker", "runtime.gpus=[--privileged]"], "runtime.gpus.0: String should match pattern"),
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


@pytest.mark.parametrize(
    "value", ["{_target_:os.mkdir,path:PATH}", "[{_target_:os.mkdir,path:PATH}]", "{a:{_target_:os.mkdir,path:PATH}}"]
)
def test_a_target_inside_an_override_is_refused_and_nothing_is_executed(tmp_path, value):
    """Only the top of a plugin's group names what is built, however deep another name hides."""
    made = tmp_path / "made"
    with pytest.raises(ConfigError, match=r"^tracker\.tracking_uri[.\w]*\._target_: is not allowed; only .* at the top$"):
        configure([f"tracker.tracking_uri={value.replace('PATH', str(made))}"])
    assert not made.exists()


@pytest.mark.parametrize(
    ("file", "text", "key"),
    [
        ("tracker/evil.yaml", TRACKER + "tracking_uri: {_target_: os.mkdir, path: PATH}\n", "tracker.tracking_uri._target_"),
        ("tracker/evil.yaml", TRACKER + "_args_: [{_target_: os.mkdir, path: PATH}]\n", "tracker._args_"),
        (
            "tracker/evil.yaml",
            TRACKER + "tracking_uri: ${oc.create:{_target_:os.mkdir,path:PATH}}\n",
            "tracker.tracking_uri._target_",
        ),
        ("site/evil.yaml", SITE.replace("{}", "{x: {_target_: os.mkdir, path: PATH}}"), "site.cohorts.x._target_"),
        ("site/evil.yaml", f"_target_: os.mkdir\n{SITE}", "site._target_"),
    ],
)
def test_a_target_inside_a_file_is_refused_and_nothing_is_executed(tmp_path, file, text, key):
    """A site's file that somebody else wrote cannot run whatever it likes."""
    made = tmp_path / "made"
    write(tmp_path / file, text.replace("PATH", str(made)))

    with pytest.raises(ConfigError) as caught:
        configure([f"{file.partition('/')[0]}=evil"], tmp_path)

    assert str(caught.value) == f"{key}: is not allowed; only runtime, executor and tracker have a _target_, at the top"
    assert not made.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "site.name: is missing; it has no default (and 5 more)"),
        ("- a\n", "site: holds no 'key: value' lines; configs/site/ has complete files"),
        ("name: [\n", "configuration: is not YAML: while parsing a flow node"),
        (SITE.replace("hospital", "???"), "site.name: Missing mandatory value: name; give it a value"),
        (f"{SITE}submission_dir: x\n", "site.submission_dir: unknown key; did you mean 'submissions_dir'?"),
    ],
)
def test_a_wrong_file_of_a_site_gets_one_line(tmp_path, text, message):
    """A mistake in a site's own file is named like one on the command line."""
    write(tmp_path / "site" / "mine.yaml", text)

    with pytest.raises(ConfigError) as caught:
        configure(["site=mine"], tmp_path)

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_file_of_a_site_that_is_not_utf8_gets_one_line(tmp_path):
    """An editor of an old Windows leaves such files."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "mine.yaml").write_bytes("name: Universität\n".encode("latin-1"))

    with pytest.raises(ConfigError, match=r"^--config-dir .*: holds a file that is not UTF-8; save it as UTF-8$"):
        configure(["site=mine"], tmp_path)


@pytest.mark.parametrize("runtime", ["podman", "docker"])
def test_devices_may_be_given_as_numbers(runtime):
    """An index is a number to a person and a text to an engine."""
    assert configure([f"runtime={runtime}", "runtime.gpus=[0,'nvidia.com/gpu=1']"]).runtime.gpus == ("0", "nvidia.com/gpu=1")


def test_a_folder_of_configuration_that_is_not_there_is_named(tmp_path):
    """A typo in --config-dir must not mean the defaults."""
    with pytest.raises(ConfigError, match=r"^--config-dir .*/nowhere: there is no such folder; name one that holds groups"):
        configure([], tmp_path / "nowhere")


@pytest.mark.parametrize(("key", "name"), [("benchmarks_dir", "benchmarks"), ("submissions_dir", "submissions")])
def test_a_folder_of_the_site_that_is_not_there_is_named_when_it_is_used(tmp_path, key, name):
    """A folder that is missing is not taken for one that is empty, and a command that needs none of it goes on."""
    site = configure([f"site.{key}={tmp_path}/nowhere"]).site

    with pytest.raises(ConfigError) as caught:
        getattr(site, name)
    expected = f"site.{key}: the folder {tmp_path}/nowhere does not exist; make it, or name another with site.{key}=..."
    assert str(caught.value) == expected
