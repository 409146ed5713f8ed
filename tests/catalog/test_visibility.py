"""Who sees which tools: listing and calling give one answer, and tenants never meet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_mcp.catalog import Catalog, SpecSet
from sim_mcp.model.errors import NotFound, UnknownTool
from sim_mcp.model.integration import Integration
from sim_mcp.model.json import Json
from sim_mcp.model.principal import Permission, Principal
from sim_mcp.model.tool import WorkflowId
from tests.catalog.samples import ACME, GLOBEX, entry, integration, principal, spec

BOTH = SpecSet(
    tools={ACME: (spec("report"), spec("hidden", enabled=False)), GLOBEX: (spec("report"), spec("secret"))}
)
PRINCIPALS = st.builds(
    Principal,
    tenant_id=st.sampled_from([ACME, GLOBEX]),
    organization_id=st.sampled_from([None, "north", "south"]),
    permissions=st.frozensets(st.sampled_from(list(Permission))),
)
INTEGRATIONS = st.none() | st.builds(
    integration,
    st.sampled_from([ACME, GLOBEX]),
    is_enabled=st.booleans(),
    has_api_key=st.booleans(),
    organization_id=st.sampled_from([None, "north", "south"]),
)


def callable_names(catalog: Catalog, who: Principal, connection: Integration | None) -> set[str]:
    """The names, of all there are anywhere, that resolve."""
    found: set[str] = set()
    for name in ("report", "hidden", "secret", "stored", "nothing"):
        try:
            assert catalog.resolve(name, who, connection).name == name
        except UnknownTool:
            continue
        found.add(name)
    return found


@pytest.mark.requirement("R11", "R35")
@given(
    owner=st.sampled_from([ACME, GLOBEX]),
    who=PRINCIPALS,
    connection=INTEGRATIONS,
    stored=st.sampled_from([[], [entry("stored")], [entry("stored", enabled=False)], [{"name": "broken"}]]),
)
def test_what_is_listed_is_what_may_be_called(
    owner: str, who: Principal, connection: Integration | None, stored: list[Json]
) -> None:
    """For every tenant, right, organisation and state of the connection; and only with all of them right."""
    tenant_id = ACME if owner == ACME else GLOBEX
    catalog = Catalog.build(tenant_id, files=BOTH, stored=stored)
    visible = catalog.visible_to(who, connection)
    assert {tool.name for tool in visible} == callable_names(catalog, who, connection)
    assert all(tool.tenant_id == tenant_id for tool in visible)
    is_open = (
        connection is not None
        and who.tenant_id == connection.tenant_id == tenant_id
        and connection.is_enabled
        and connection.has_api_key
        and Permission.EDIT in who.permissions
        and connection.organization_id in {None, who.organization_id}
    )
    assert bool(visible) == is_open


@pytest.mark.requirement("R3")
@pytest.mark.parametrize(
    "connection", [None, integration(is_enabled=False), integration(has_api_key=False), integration(GLOBEX)]
)
def test_without_a_working_connection_of_ones_own_there_are_no_tools(connection: Integration | None) -> None:
    """Not connected, switched off, without a key, or somebody else's."""
    assert Catalog.build(ACME, files=BOTH).visible_to(principal(), connection) == ()


@pytest.mark.requirement("R13", "R35")
def test_unknown_hidden_foreign_and_forbidden_names_get_the_same_words() -> None:
    """Nobody learns what exists: only the asked name differs."""
    catalog = Catalog.build(ACME, files=BOTH)
    reader = principal(permissions=frozenset({Permission.VIEW}))
    messages: set[str] = set()
    for name, who in (
        ("nothing", principal()),
        ("hidden", principal()),
        ("secret", principal()),
        ("report", principal(GLOBEX)),
        ("report", reader),
    ):
        with pytest.raises(UnknownTool) as refusal:
            catalog.resolve(name, who, integration())
        messages.add(refusal.value.message.replace(repr(name), "…"))
    assert messages == {"Unknown tool: …"}


def test_a_workflow_is_found_by_id_under_the_same_rules() -> None:
    """For REST: the first tool by name that runs it; another tenant's id is unknown."""
    files = SpecSet(
        tools={
            ACME: (spec("b", workflow_id="one"), spec("a", workflow_id="one")),
            GLOBEX: (spec("c", workflow_id="two"),),
        }
    )
    catalog = Catalog.build(ACME, files=files)
    assert catalog.resolve_workflow(WorkflowId("one"), principal(), integration()).name == "a"
    messages: set[str] = set()
    for workflow_id, who in (("two", principal()), ("three", principal()), ("one", principal(GLOBEX))):
        with pytest.raises(NotFound) as refusal:
            catalog.resolve_workflow(WorkflowId(workflow_id), who, integration())
        messages.add(refusal.value.message)
    assert len(messages) == 1


def test_the_list_is_sorted_and_always_the_same() -> None:
    """Whatever the order of the entries."""
    entries = [entry("c"), entry("a"), entry("b")]
    lists = [
        Catalog.build(ACME, stored=each).visible_to(principal(), integration())
        for each in (entries, list(reversed(entries)))
    ]
    assert lists[0] == lists[1]
    assert [tool.name for tool in lists[0]] == ["a", "b", "c"]


def test_a_spec_file_wins_over_the_stored_entry_of_its_name() -> None:
    """And says so; also when the file's spec is switched off, or broken."""
    catalog = Catalog.build(
        ACME,
        files=BOTH,
        stored=[entry("report", description="Stored."), entry("hidden"), entry("stored")],
    )
    assert [(tool.name, tool.description) for tool in catalog.tools] == [
        ("report", "Makes the report."),
        ("stored", "Makes the stored."),
    ]
    assert [(each.source, each.tool_name, each.field) for each in catalog.problems] == [
        ("allow-list", "report", "name"),
        ("allow-list", "hidden", "name"),
    ]
    assert (catalog.is_from_file("report"), catalog.is_from_file("stored")) == (True, False)


def test_one_broken_stored_entry_leaves_the_others() -> None:
    """Whatever was put into the database."""
    catalog = Catalog.build(ACME, stored=[entry("good"), {"name": "bad"}, "text", None, entry("sim_x")])
    assert [tool.name for tool in catalog.tools] == ["good"]
    assert {problem.tenant_id for problem in catalog.problems} == {ACME}
    assert [problem.tool_name for problem in catalog.problems] == ["bad", "bad", None, None, "sim_x"]


def test_a_new_spec_is_judged_before_it_is_stored() -> None:
    """By the rules for listing, and by whether a file has its name."""
    catalog = Catalog.build(ACME, files=BOTH)
    assert catalog.problem_with(spec("fresh")) is None
    assert catalog.problem_with(spec("report")) == "The name 'report' is taken by a spec file."
    listed = spec("fresh", input_schema={"type": "object", "properties": {"a": {"type": "array"}}})
    assert catalog.problem_with(listed) is None
    refused = catalog.problem_with(spec("fresh", input_schema={"type": "array"}))
    assert (
        refused == "input_schema: must have `type: object` at its root; clients refuse a list with any other."
    )
