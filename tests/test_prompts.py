"""Fingerprints: which requests are the same, and which prompts made them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchai.domain import Message
from batchai.errors import TemplateError
from batchai.prompts import Prompts, Rendered, fields_used, is_same_request
from batchai.spec.models import Model, Prompt, PromptMessage, Step

ITEM = {"text": "late again"}


def prompts(user: str = "Sort: {{ item.text }}", identity: Any = "a model", **vars: Any) -> Prompts:
    return Prompts(Prompt(user=user), variables=vars, identity=identity, place="job.yaml")


def fingerprint(made_by: Prompts) -> bytes:
    return made_by.fingerprint(made_by.render(ITEM))


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        pytest.param(prompts(), True, id="equal"),
        pytest.param(prompts("Sort: {{ item['text'] }}"), True, id="other words for the same"),
        pytest.param(prompts(unused=1), True, id="a variable that is not used"),
        pytest.param(prompts("Class: {{ item.text }}"), False, id="another text"),
        pytest.param(prompts(identity="another"), False, id="another model"),
    ],
)
def test_requests_are_the_same_when_all_that_is_sent_is(other: Prompts, is_same: bool) -> None:
    assert is_same_request(fingerprint(prompts()), fingerprint(other)) is is_same


def test_a_fingerprint_knows_the_prompts_that_made_it() -> None:
    ours, reworded = prompts(), prompts("Sort: {{ item['text'] }}")

    assert prompts().have_made(fingerprint(ours))
    assert not reworded.have_made(fingerprint(ours))
    assert not prompts(unused=1).have_made(fingerprint(ours))
    assert not prompts(identity="another").have_made(fingerprint(ours))
    assert not ours.have_made(None)


def test_where_one_text_ends_and_the_next_begins_makes_a_difference() -> None:
    turns = [("ab", "c"), ("a", "bc")]
    made = [
        prompts().fingerprint(
            Rendered(system, (Message("user", first),)),
        )
        for system, first in turns
    ]

    assert not is_same_request(*made)


texts = st.text(st.characters() | st.sampled_from("\0019"), max_size=6)
requests = st.builds(
    Rendered,
    st.none() | texts,
    st.lists(
        st.builds(Message, st.sampled_from(["user", "assistant"]), texts), min_size=1, max_size=4
    ).map(tuple),
)
identities = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)


@given(requests, requests)
def test_different_texts_or_roles_never_make_the_same_request(
    one: Rendered, other: Rendered
) -> None:
    ours = prompts()

    is_same = is_same_request(ours.fingerprint(one), ours.fingerprint(other))

    same_system = (one.system or "") == (other.system or "")  # an empty one is not sent
    assert is_same is (same_system and one.messages == other.messages)


@given(identities, identities)
def test_different_parameters_or_schemas_never_make_the_same_request(one: Any, other: Any) -> None:
    is_same = is_same_request(
        fingerprint(prompts(identity=one)), fingerprint(prompts(identity=other))
    )

    assert is_same is (repr(_sorted(one)) == repr(_sorted(other)))


def _sorted(value: Any) -> Any:
    """The order of names makes no difference; 1 and True do."""
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def test_a_prompt_that_cannot_be_rendered_says_which_field_is_missing() -> None:
    with pytest.raises(TemplateError, match="nothing"):
        prompts("{{ item.nothing }}").render(ITEM)


def test_a_text_without_marks_is_sent_as_it_stands() -> None:
    text = "100 % {plain} # text\n\n"

    assert prompts(text).render(ITEM).messages == (Message("user", text),)


def test_turns_keep_their_order_and_the_user_comes_last() -> None:
    turns = (
        PromptMessage(role="user", content="{{ vars.kind }}?"),
        PromptMessage(role="assistant", content="yes"),
    )
    prompt = Prompt(system="Be brief.", messages=turns, user="{{ item.text }}")

    made = Prompts(prompt, variables={"kind": "mail"}, identity=1, place="job.yaml").render(ITEM)

    assert made.system == "Be brief."
    assert [(turn.role, turn.content) for turn in made.messages] == [
        ("user", "mail?"),
        ("assistant", "yes"),
        ("user", "late again"),
    ]
    assert made.chars == len("Be brief.mail?yeslate again")


def test_the_fields_that_a_step_names_are_known_by_their_places() -> None:
    turn = PromptMessage(role="user", content="{{ item.a }} {{ vars.x }}")
    prompt = Prompt(system="{{ item['b c'] }}", messages=(turn,), user="{{ item.d.e }}")

    model = Model(name="openai/gpt-5.4-mini")
    step = Step(model=model, prompt=prompt, condition="item.f > 1", foreach="item.g")
    assert fields_used(step) == {"prompt": {"a", "b c", "d"}, "if": {"f"}, "foreach": {"g"}}


@pytest.mark.parametrize(
    ("prompt", "parts", "chars", "text"),
    [
        (Prompt(system="S", user="{{ item.a }}"), 1, 0, "S"),
        (Prompt(system="S", user="Q: {{ item.a }}"), 1, 2, "SQ:"),
        (Prompt(system="S {{ item.a }} T", user="Q"), 0, 1, "S"),
        (Prompt(system="{{ vars.v }} S", user="Q {{- item.a }}"), 1, 1, "7 SQ"),
        (Prompt(system="{{ vars.missing }}", user="Q"), 0, 0, ""),
        (Prompt(system="", user="Q\r\n{{ item.a }}"), 0, 1, "Q"),
        (Prompt(user="{% if item.a %}x{% endif %}"), 0, 0, ""),
        (Prompt(user="the same for all"), 1, 0, "the same for all"),
        (
            Prompt(
                messages=(
                    PromptMessage(role="user", content="u"),
                    PromptMessage(role="assistant", content="a{{ vars.v }}"),
                ),
                user="{{ item.a }}",
            ),
            2,
            0,
            "ua7",
        ),
    ],
)
def test_the_shared_beginning_ends_where_the_item_comes_in(
    prompt: Prompt, parts: int, chars: int, text: str
) -> None:
    made = Prompts(prompt, variables={"v": 7}, identity={}, place="prompt")
    prefix = made.shared_prefix()
    assert (prefix.parts, prefix.chars, prefix.text) == (parts, chars, text)


@given(
    begin=st.text(alphabet="ab \n\t", max_size=8),
    between=st.sampled_from(
        ["", "{{ vars.v }}", "{{- vars.v -}} ", "{# x #}", "{% raw %}{{ {% endraw %}"]
    ),
    own=st.sampled_from(["{{ item.a }}", "{{- item.a }}", "{%- if item.a %} b{% endif %}"]),
)
def test_the_shared_beginning_is_one_of_every_request(begin: str, between: str, own: str) -> None:
    prompt = Prompt(user=f"{begin}{between}{begin}{own}{begin}")
    made = Prompts(prompt, variables={"v": "\n v"}, identity={}, place="prompt")
    prefix = made.shared_prefix()
    for value in ("", "a", " "):
        text = made.render({"a": value}).messages[0].content
        assert text.startswith(prefix.text)
