"""Keys: found in few places, shown in none."""

import io
import logging
from pathlib import Path
from urllib.parse import quote

import pytest

from batchai.secrets import (
    KeyPlace,
    RedactingFilter,
    Redactor,
    Secret,
    find_key,
    is_key_name,
    known_keys,
    looks_like_key,
    read_dotenv,
    scan_for_keys,
)

# put together here, so that no scan of this repository finds them
ANTHROPIC = "sk-" + "ant-api03-" + "Ab0_" * 10
OPENAI = "sk-" + "proj-" + "Ab0" * 10
GITHUB = "ghp" + "_" + "a1" * 20
AWS = "AKIA" + "ABCDEFGH12345678"
NAMES = ("ANTHROPIC_API_KEY", "MY_SERVER_KEY")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The current directory and the job's folder, without keys in the environment."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    here, jobs = tmp_path / "here", tmp_path / "jobs"
    here.mkdir()
    jobs.mkdir()
    monkeypatch.chdir(here)
    return here, jobs


def test_a_key_is_looked_for_in_the_environment_then_beside_the_job_then_here(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, jobs = folders
    assert find_key(NAMES, jobs) is None

    (here / ".env").write_text("MY_SERVER_KEY=from-here\n")
    assert find_key(NAMES, jobs) == Secret("MY_SERVER_KEY", str(here / ".env"), "from-here")
    (jobs / ".env").write_text("MY_SERVER_KEY=from-jobs\n")
    assert find_key(NAMES, jobs) == Secret("MY_SERVER_KEY", str(jobs / ".env"), "from-jobs")
    monkeypatch.setenv("MY_SERVER_KEY", "from-environment")
    assert find_key(NAMES, jobs) == Secret("MY_SERVER_KEY", "the environment", "from-environment")


def test_the_first_name_that_has_a_value_is_taken(folders: tuple[Path, Path]) -> None:
    (folders[1] / ".env").write_text("MY_SERVER_KEY=second\nANTHROPIC_API_KEY=first\n")

    found = find_key(NAMES, folders[1])

    assert found is not None
    assert found.value == "first"


def test_an_empty_value_is_no_key(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVER_KEY", "")
    (folders[1] / ".env").write_text("ANTHROPIC_API_KEY=\n")

    assert find_key(NAMES, folders[1]) is None


def test_a_secret_tells_its_name_and_place_only() -> None:
    secret = Secret("MY_SERVER_KEY", "the environment", "hunter2hunter2")

    assert "hunter2" not in f"{secret} {secret!r}"
    assert str(secret) == "MY_SERVER_KEY from the environment"


def test_a_dotenv_file_is_read_as_people_write_it(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(
        b"\xef\xbb\xbfA_KEY=plain # a note\r\n"
        b"export B_KEY='single # no note'\n"
        b'C_KEY="double" # a note\n'
        b"  D_KEY  =  spaced  \n"
        b"E_KEY=a#b=c\n"
        b"# F_KEY=commented\n"
        b"G_KEY=\n"
        b"H_KEY='open\n"
        b"I_KEY=#nothing\n"
        b"not a line\n"
        b"A_KEY=the last one wins\n"
    )

    assert read_dotenv(path) == {
        "A_KEY": "the last one wins",
        "B_KEY": "single # no note",
        "C_KEY": "double",
        "D_KEY": "spaced",
        "E_KEY": "a#b=c",
        "G_KEY": "",
        "I_KEY": "",
    }
    assert read_dotenv(tmp_path / "none") == {}
    assert read_dotenv(tmp_path) == {}


def test_a_dotenv_file_redirects_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "OPENAI_BASE_URL=http://evil\nHTTPS_PROXY=http://evil\nPATH=/evil\nLD_PRELOAD=x\n"
        "OPENAI_ORG_ID=x\nSSL_CERT_FILE=x\nOPENAI_API_KEY=k\n"
    )

    assert read_dotenv(tmp_path / ".env") == {"OPENAI_API_KEY": "k"}


@pytest.mark.parametrize(
    ("name", "is_key"),
    [
        ("ANTHROPIC_API_KEY", True),
        ("MY_SERVER_KEY", True),
        ("HF_TOKEN", True),
        ("DB_PASSWORD", True),
        ("apikey", True),
        ("CLIENT_SECRET", True),
        ("OPENAI_BASE_URL", False),
        ("HTTP_PROXY", False),
        ("MONKEY", False),
        ("TOKENIZERS_PARALLELISM", False),
        ("KEYBOARD", False),
        ("max_tokens", False),
    ],
)
def test_a_name_says_whether_it_holds_a_key(name: str, is_key: bool) -> None:
    assert is_key_name(name) is is_key


@pytest.mark.parametrize("text", [ANTHROPIC, OPENAI, GITHUB, AWS, f"x={OPENAI}", f"'{ANTHROPIC}'"])
def test_keys_are_known_by_their_shape(text: str) -> None:
    assert looks_like_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "risk-assessment-of-the-whole-year",
        "task-0123456789abcdefghij",
        "sk-short",
        "a sk-",
        "AKIA",
        "hf_x",
    ],
)
def test_ordinary_words_are_no_keys(text: str) -> None:
    assert not looks_like_key(text)


def test_known_keys_are_those_of_environment_and_files(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVER_KEY", "from-environment")
    monkeypatch.setenv("MY_SETTING", "no key at all")
    (folders[1] / ".env").write_text("ANTHROPIC_API_KEY=from-file\n")

    values = {secret.value for secret in known_keys(folders[1])}

    assert {"from-environment", "from-file"} <= values
    assert "no key at all" not in values


CANARY = "canary/k+y=0123456789"


def redactor(*values: str) -> Redactor:
    return Redactor(Secret(f"KEY_{n}", "a test", value) for n, value in enumerate(values))


def test_known_values_are_scrubbed_from_any_text() -> None:
    text = f"Authorization: Bearer {CANARY}, url=?k={quote(CANARY, safe='')}\n{CANARY}{CANARY}"

    scrubbed = redactor(CANARY).scrub(text)

    assert "canary" not in scrubbed
    assert scrubbed == "Authorization: Bearer [KEY_0], url=?k=[KEY_0]\n[KEY_0][KEY_0]"


def test_a_key_that_begins_like_another_is_scrubbed_whole() -> None:
    assert (
        redactor("abcdefgh", "abcdefgh-and-more").scrub("abcdefgh-and-more abcdefgh")
        == "[KEY_1] [KEY_0]"
    )


def test_dummy_values_tear_no_holes_and_unknown_keys_are_known_by_shape() -> None:
    assert redactor("none", "x").scrub("none of x") == "none of x"
    assert redactor().scrub(f"got {ANTHROPIC}!") == "got [key]!"
    assert redactor().scrub("nothing here") == "nothing here"


def refuse() -> None:
    raise ValueError(f"refused {CANARY}")


def test_a_log_record_holds_no_key_in_any_part() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter(redactor(CANARY)))
    handler.setFormatter(logging.Formatter("%(message)s %(item)s", defaults={"item": "-"}))
    log = logging.Logger("batchai.test")
    log.addHandler(handler)

    log.warning("message %s", CANARY)
    log.warning("values %(x)s", {"x": CANARY})
    log.warning("bad format %d", CANARY)
    log.warning("extra", extra={"item": CANARY})
    log.warning("stack", stack_info=True)
    log.warning("%s", {"headers": {"authorization": f"Bearer {CANARY}"}})
    try:
        refuse()
    except ValueError:
        log.exception("failed")

    text = stream.getvalue()
    assert "canary" not in text
    assert "ValueError: refused [KEY_0]" in text
    assert "extra [KEY_0]" in text
    assert text.count("[KEY_0]") == 6


def test_a_scan_tells_places_and_never_keys(tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "node_modules").mkdir()
    (root / "src/a.py").write_text(f"x = 1\nkey = '{ANTHROPIC}'\n# {AWS}\n")
    (root / ".env").write_text(f"OPENAI_API_KEY={OPENAI}")
    (root / ".env.example").write_text(f"OPENAI_API_KEY={OPENAI}")
    (root / "node_modules/b.js").write_text(OPENAI)
    (root / "c.bin").write_bytes(b"\0" + OPENAI.encode())
    (root / "link").symlink_to(root / "src/a.py")
    (root / "e.pem").write_text("-----BEGIN RSA PRIVATE " + "KEY-----\n")

    scan = scan_for_keys(root)

    assert scan.is_complete
    assert [
        (str(place.path.relative_to(root)), place.line, place.kind) for place in scan.places
    ] == [
        (".env.example", 1, "an OpenAI key"),
        ("e.pem", 1, "a private key"),
        ("src/a.py", 2, "an Anthropic key"),
        ("src/a.py", 3, "an AWS key"),
    ]
    assert str(scan.places[0]) == f"{root}/.env.example:1: looks like an OpenAI key"
    assert OPENAI not in str(scan) + repr(scan)


def test_a_scan_stops_at_its_bounds_and_says_so(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    for number in range(5):
        (root / f"{number}.txt").write_text("x" * 100 + "\n" + OPENAI)

    assert len(scan_for_keys(root, max_files=3).places) == 3
    assert not scan_for_keys(root, max_files=3).is_complete
    assert not scan_for_keys(root, max_total_bytes=150).is_complete
    assert scan_for_keys(root, max_file_bytes=50).places == ()
    assert scan_for_keys(root).places[0] == KeyPlace(root / "0.txt", 2, "an OpenAI key")
