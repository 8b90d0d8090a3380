"""OpenAI's fine-tuning API through the official openai package, against a running Lathe server.

usage: LATHE_BASE_URL=http://127.0.0.1:7878/v1 LATHE_BASE_MODEL=NAME python test_fine_tuning.py
needs: pip install openai==3.57.0

LATHE_BASE_MODEL is a base model that the workshop has. What is taught is one answer to all questions,
which a random model of two layers learns in a moment; whether the gate lets it pass is what is tested.
LATHE_KEYS="TUNE ANSWER" are two keys of these scopes where the server asks for keys.
"""

import json
import os
import time
import unittest

import openai

BASE_URL = os.environ["LATHE_BASE_URL"].rstrip("/")
BASE = os.environ["LATHE_BASE_MODEL"]
KEYS = os.environ.get("LATHE_KEYS", "any any").split()
WAIT_S = 300


def client(key=KEYS[0]):
    return openai.OpenAI(base_url=BASE_URL, api_key=key, max_retries=0, timeout=120)


def chats(count=24, answer="It is good.", first=0):
    def one(at):
        question = {"role": "user", "content": f"Is the camera number {at} good?"}
        return {"messages": [question, {"role": "assistant", "content": answer}]}

    return [one(first + at) for at in range(count)]


def preferences(count=24):
    def one(at):
        question = {"role": "user", "content": f"Is the player number {at} good?"}
        return {
            "input": {"messages": [question], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [{"role": "assistant", "content": "Yes, it is."}],
            "non_preferred_output": [{"role": "assistant", "content": "No idea!"}],
        }

    return [one(at) for at in range(count)]


def lines(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def upload(records, name="chats.jsonl"):
    return client().files.create(file=(name, lines(records)), purpose="fine-tune")


def place(records, **more):
    return client().fine_tuning.jobs.create(
        model=BASE, training_file=upload(records).id, **more
    )


def wait(job, wanted):
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        job = client().fine_tuning.jobs.retrieve(job.id)
        if job.status in wanted:
            return job
        if job.status in ("succeeded", "failed", "cancelled"):
            raise AssertionError(f"{job.status}, not {wanted}: {job.error}")
        time.sleep(0.1)
    raise AssertionError(f"{job.status} after {WAIT_S} s, not {wanted}")


def quick(**more):
    return {"n_epochs": 4, "batch_size": 4, "learning_rate_multiplier": 20, **more}


def supervised(**more):
    return {"type": "supervised", "supervised": {"hyperparameters": quick(**more)}}


class Files(unittest.TestCase):
    def test_a_file_comes_back_as_it_was_and_goes(self):
        records = chats(12)
        file = upload(records, "our chats.jsonl")
        self.assertEqual((file.object, file.purpose, file.status), ("file", "fine-tune", "processed"))
        self.assertEqual((file.filename, file.bytes), ("our-chats.jsonl", len(lines(records))))
        self.assertEqual(client().files.retrieve(file.id), file)
        self.assertIn(file.id, [one.id for one in client().files.list(purpose="fine-tune")])
        self.assertEqual(client().files.content(file.id).read(), lines(records))
        self.assertTrue(client().files.delete(file.id).deleted)
        with self.assertRaises(openai.NotFoundError):
            client().files.retrieve(file.id)

    def test_lists_are_paged(self):
        ids = [upload(chats(10, first=100 * at)).id for at in range(3)]
        newest = client().files.list(limit=2)
        self.assertEqual([one.id for one in newest.data], [ids[2], ids[1]])
        self.assertTrue(newest.has_more)
        rest = client().files.list(after=ids[1], limit=1)
        self.assertEqual(rest.data[0].id, ids[0])
        # The package follows the pages by itself.
        all_of_them = [one.id for one in client().files.list(limit=2, order="asc")]
        self.assertEqual([one for one in all_of_them if one in ids], ids)

    def test_a_bad_line_is_named_by_its_number(self):
        good = lines(chats(3))
        bad = [
            (good + b"{\n", "line 4"),
            (good + b'{"messages": [{"role": "user", "content": "Well?"}]}\n', "line 4"),
            (good + lines(preferences(1)), "line 4"),
            (b'{"prompt": "a", "completion": "b"}\n', "line 1"),
            (b"", "no record"),
        ]
        for content, named in bad:
            with self.assertRaises(openai.BadRequestError) as raised:
                client().files.create(file=("f.jsonl", content), purpose="fine-tune")
            self.assertEqual(raised.exception.code, "file-invalid")
            self.assertIn(named, raised.exception.message)

    def test_other_purposes_are_refused(self):
        with self.assertRaises(openai.BadRequestError) as raised:
            client().files.create(file=("f.jsonl", lines(chats(10))), purpose="batch")
        self.assertEqual(raised.exception.param, "purpose")


class Jobs(unittest.TestCase):
    def test_from_a_file_to_an_answer(self):
        validation = upload(chats(6, first=500), "validation.jsonl").id
        job = place(
            chats(),
            validation_file=validation,
            suffix="Our Shop",
            seed=3,
            metadata={"owner": "the shop", "ticket": "7"},
            method=supervised(),
        )
        self.assertIn(job.status, ("validating_files", "queued", "running"))
        self.assertIsNone(job.fine_tuned_model)
        self.assertEqual((job.seed, job.user_provided_suffix), (3, "Our Shop"))
        self.assertEqual(job.method.supervised.hyperparameters.n_epochs, 4)
        name = job.model_extra["lathe"]["name"]
        # A candidate answers nobody.
        with self.assertRaises((openai.NotFoundError, openai.PermissionDeniedError)):
            client(KEYS[1]).models.retrieve(name)

        job = wait(job, ["succeeded"])
        self.assertEqual(job.fine_tuned_model, name)
        self.assertRegex(name, r"^ft:[a-z0-9.-]+:[a-z0-9.-]+:our-shop:[0-9a-f]{8}$")
        self.assertGreater(job.trained_tokens, 0)
        self.assertGreaterEqual(job.finished_at, job.created_at)
        self.assertIsNone(job.error)
        self.assertEqual(job.metadata["ticket"], "7")

        events = list(client().fine_tuning.jobs.list_events(job.id, limit=7))
        self.assertEqual(len({event.id for event in events}), len(events))
        times = [event.created_at for event in events]
        self.assertEqual(times, sorted(times, reverse=True))
        metrics = [event for event in events if event.type == "metrics"]
        self.assertEqual(len(metrics), 24, "a step for every batch of every epoch")
        self.assertLess(metrics[0].data["train_loss"], metrics[-1].data["train_loss"])

        (checkpoint,) = client().fine_tuning.jobs.checkpoints.list(job.id)
        self.assertEqual(checkpoint.fine_tuned_model_checkpoint, name)
        self.assertEqual(checkpoint.step_number, 24)
        self.assertGreater(checkpoint.metrics.full_valid_loss, 0)

        answer = client(KEYS[1]).chat.completions.create(
            model=name,
            messages=[{"role": "user", "content": "Is the camera number 4 good?"}],
            max_tokens=24,
        )
        self.assertEqual(answer.choices[0].message.content.strip(), "It is good.")

    def test_preferences(self):
        dpo = {"type": "dpo", "dpo": {"hyperparameters": quick(beta=0.2)}}
        job = wait(place(preferences(), method=dpo), ["succeeded"])
        self.assertEqual(job.method.dpo.hyperparameters.beta, 0.2)
        events = list(client().fine_tuning.jobs.list_events(job.id))
        self.assertTrue(any(event.type == "metrics" for event in events))
        answer = client(KEYS[1]).chat.completions.create(
            model=job.fine_tuned_model,
            messages=[{"role": "user", "content": "Is it good?"}],
            max_tokens=4,
        )
        self.assertIsInstance(answer.choices[0].message.content, str)

    def test_what_is_no_better_than_the_base_is_refused_by_the_gate(self):
        # What is learnt is the opposite of what is measured by.
        validation = upload(chats(6, answer="Nobody at all will ever know.", first=500))
        job = place(chats(), validation_file=validation.id, method=supervised(n_epochs=12))
        job = wait(job, ["failed"])
        self.assertEqual(job.error.code, "gate-refused")
        self.assertIn("answer_logprob", job.error.message)
        self.assertIsNone(job.fine_tuned_model)
        with self.assertRaises(openai.NotFoundError):
            client(KEYS[1]).models.retrieve(job.model_extra["lathe"]["name"])

    def test_pause_resume_and_cancel(self):
        jobs = client().fine_tuning.jobs
        long = place(chats(40, first=1000), method=supervised(n_epochs=50, batch_size=1))
        waits = place(chats(40, first=2000), method=supervised())
        wait(long, ["running"])
        self.assertEqual(jobs.pause(long.id).status, "paused")
        with self.assertRaises(openai.BadRequestError):
            jobs.pause(long.id)
        # The queue goes on without it.
        wait(waits, ["succeeded"])
        self.assertIn(jobs.resume(long.id).status, ("queued", "validating_files", "running"))
        with self.assertRaises(openai.BadRequestError):
            jobs.resume(long.id)
        wait(long, ["running"])
        cancelled = jobs.cancel(long.id)
        self.assertEqual(cancelled.status, "cancelled")
        self.assertIsNone(cancelled.fine_tuned_model)
        for again in (jobs.cancel, jobs.resume, jobs.pause):
            with self.assertRaises(openai.BadRequestError):
                again(long.id)

    def test_jobs_are_paged(self):
        jobs = client().fine_tuning.jobs
        ids = [place(chats(10, first=3000 + 100 * at)).id for at in range(3)]
        for each in ids:
            jobs.cancel(each)
        newest = jobs.list(limit=2)
        self.assertEqual([job.id for job in newest.data], [ids[2], ids[1]])
        self.assertTrue(newest.has_more)
        self.assertEqual(jobs.list(after=ids[1], limit=1).data[0].id, ids[0])

    def test_refusals(self):
        jobs = client().fine_tuning.jobs
        file = upload(chats(12)).id
        pairs = upload(preferences(12)).id
        few = upload(chats(9)).id
        cases = [
            ({"model": "gpt-none", "training_file": file}, "model"),
            ({"training_file": "file-none"}, "training_file"),
            ({"training_file": file, "validation_file": "file-none"}, "validation_file"),
            ({"training_file": pairs}, "training_file"),
            ({"training_file": few}, "training_file"),
            ({"training_file": file, "method": {"type": "dpo"}}, "training_file"),
            ({"training_file": file, "method": {"type": "reinforcement"}}, "method"),
            ({"training_file": file, "suffix": "x" * 65}, "suffix"),
        ]
        for asked, param in cases:
            with self.assertRaises(openai.BadRequestError) as raised:
                jobs.create(**{"model": BASE, **asked})
            self.assertEqual(raised.exception.param, param, raised.exception.message)
        for call in (jobs.retrieve, jobs.cancel, jobs.pause, jobs.resume, jobs.list_events):
            with self.assertRaises(openai.NotFoundError):
                call("ftjob-none")

    @unittest.skipIf(KEYS[0] == KEYS[1], "the server asks for no keys")
    def test_a_key_without_the_scope_opens_nothing(self):
        stranger = client(KEYS[1])
        calls = [
            lambda: stranger.files.list(),
            lambda: stranger.files.create(file=("f.jsonl", lines(chats(10))), purpose="fine-tune"),
            lambda: stranger.fine_tuning.jobs.list(),
            lambda: stranger.fine_tuning.jobs.create(model=BASE, training_file="file-none"),
        ]
        for call in calls:
            with self.assertRaises(openai.PermissionDeniedError):
                call()
        with self.assertRaises(openai.PermissionDeniedError):
            client().chat.completions.create(model="any", messages=[{"role": "user", "content": "?"}])


if __name__ == "__main__":
    unittest.main()
