"""Programs that extend clients and workers do what their first line says, and replay."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from tests.programs import context_propagation, encrypted
from tests.programs.conftest import QUEUE, Stage
from tests.programs.context_propagation import USER, Audited
from tests.programs.encrypted import Patient


async def test_who_acts_is_known_in_all_that_follows(stage: Stage) -> None:
    audited = stage.with_client(interceptors=context_propagation.INTERCEPTORS)
    async with audited.playing(context_propagation) as client:
        USER.set("Ada")
        run = await client.start_workflow(Audited.run, id="audit", task_queue=QUEUE)
        USER.set("Bob")
        await run.signal(Audited.note, "a note")
        assert await run.query(Audited.asked_by) == "Bob"
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await run.execute_update(Audited.close)
        assert "Bob is not the owner" in str(refused.value.cause)
        USER.set("Ada")
        for _ in range(500):
            if len(await run.query(Audited.lines)) == 5:
                break
            await asyncio.sleep(0.02)
        assert await run.execute_update(Audited.close) == "closed by Ada"
        assert sorted(await run.result()) == [
            "a note by Bob",
            "activity of Ada",
            "activity of Bob",
            "run of Ada",
            "thread of Ada",
        ]


async def test_an_encrypted_record_is_read_by_its_owners_only(stage: Stage) -> None:
    before = stage.with_client(data_converter=encrypted.converter(key_id="2025"))
    async with before.playing(encrypted) as client:
        patient = await client.start_workflow(Patient.run, "my back", id="p", task_queue=QUEUE)
        # The new key comes into use while the run is open.
        after = Client(client.services, data_converter=encrypted.converter(key_id="2026"))
        renewed = after.get_workflow_handle_for(Patient.run, "p")
        assert await renewed.execute_update(Patient.answer, "since May") == 1
        assert await renewed.query(Patient.known) == ["since May"]
        assert await patient.result() == "my back (since May): rest"
        healthy = await after.start_workflow(Patient.run, "none", id="h", task_queue=QUEUE)
        await healthy.execute_update(Patient.answer, "ever")
        with pytest.raises(WorkflowFailureError) as failed:
            await healthy.result()
        assert "nothing hurts" in str(failed.value.cause.__cause__)  # type: ignore[union-attr]  # it is there
        for workflow_id in ("p", "h"):
            history = await client.get_workflow_handle(workflow_id).fetch_history()
            text = history.to_json()
            assert "since May" not in text
            assert "my back" not in text
            assert "hurts" not in text
