"""The official openai package against a running Lathe server.

usage: LATHE_BASE_URL=http://127.0.0.1:7878/v1 LATHE_MODEL=NAME python test_openai.py
needs: pip install openai==3.57.0

Nothing is assumed of the model but that it answers: a random one will do. The context is read
from /v1/models, so that the over-long prompt is over-long for any model.
"""

import asyncio
import json
import os
import unittest
import urllib.error
import urllib.request
from typing import Annotated, Literal

import openai
import pydantic

BASE_URL = os.environ["LATHE_BASE_URL"].rstrip("/")
MODEL = os.environ["LATHE_MODEL"]
QUESTION = [{"role": "user", "content": "The camera is great, but the battery is poor."}]


def client():
    return openai.OpenAI(base_url=BASE_URL, api_key="any", max_retries=0, timeout=120)


def ask(**changes):
    request = {"model": MODEL, "messages": QUESTION, "max_tokens": 12, **changes}
    return client().chat.completions.create(**request)


def text_of(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


class Models(unittest.TestCase):
    def test_the_list_names_the_model(self):
        self.assertIn(MODEL, [model.id for model in client().models.list()])

    def test_a_model_says_what_it_was_measured_with(self):
        model = client().models.retrieve(MODEL)
        self.assertEqual(model.owned_by, "lathe")
        self.assertIn("system_prompt", model.model_extra["lathe"])

    def test_an_unknown_model_is_not_found(self):
        with self.assertRaises(openai.NotFoundError):
            client().models.retrieve("no-such-model")


class Answers(unittest.TestCase):
    def test_plain(self):
        answer = ask()
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(answer.model, MODEL)
        choice = answer.choices[0]
        self.assertEqual(choice.message.role, "assistant")
        self.assertIsInstance(choice.message.content, str)
        self.assertIn(choice.finish_reason, ("stop", "length"))
        usage = answer.usage
        self.assertGreater(usage.prompt_tokens, 0)
        self.assertLessEqual(usage.completion_tokens, 12)
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)

    def test_streaming_gives_the_same_text_and_the_usage(self):
        plain = ask()
        with ask(stream=True) as stream:
            chunks = list(stream)
        self.assertEqual(text_of(chunks), plain.choices[0].message.content)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual(chunks[-1].choices[0].finish_reason, plain.choices[0].finish_reason)
        self.assertEqual(chunks[-1].usage, plain.usage)
        self.assertEqual({c.id for c in chunks}, {chunks[0].id})

    def test_usage_in_a_chunk_of_its_own_when_asked_for(self):
        chunks = list(ask(stream=True, stream_options={"include_usage": True}))
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage, ask().usage)
        self.assertTrue(all(c.usage is None for c in chunks[:-1]))

    def test_the_stream_helper(self):
        request = {"model": MODEL, "messages": QUESTION, "max_tokens": 12}
        with client().chat.completions.stream(**request) as stream:
            text = "".join(event.delta for event in stream if event.type == "content.delta")
        self.assertEqual(text, ask().choices[0].message.content)

    def test_many_at_once(self):
        async def run():
            shared = openai.AsyncOpenAI(base_url=BASE_URL, api_key="any", max_retries=0, timeout=120)
            request = {"model": MODEL, "messages": QUESTION, "max_tokens": 12}
            plain = [shared.chat.completions.create(**request) for _ in range(8)]
            answers = await asyncio.gather(*plain)
            chunks = [c async for c in await shared.chat.completions.create(stream=True, **request)]
            await shared.close()
            return [a.choices[0].message.content for a in answers], text_of(chunks)

        answers, streamed = asyncio.run(run())
        self.assertEqual(set(answers), {streamed})

    def test_a_seed_fixes_a_sampled_answer(self):
        sampled = {"temperature": 1.0, "top_p": 0.95, "seed": 11, "extra_body": {"top_k": 50}}
        first, second = (ask(**sampled).choices[0].message.content for _ in range(2))
        self.assertEqual(first, second)

    def test_a_stop_sequence_is_not_part_of_the_answer(self):
        whole = ask().choices[0].message.content
        stop = whole[len(whole) // 2 :][:2]
        answer = ask(stop=[stop]).choices[0]
        self.assertEqual(answer.message.content, whole[: whole.index(stop)])
        self.assertEqual(answer.finish_reason, "stop")

    def test_hanging_up_leaves_the_server_answering(self):
        for _ in range(20):
            stream = ask(stream=True, max_tokens=100)
            next(iter(stream))
            stream.close()
        self.assertIsInstance(ask().choices[0].message.content, str)


class Review(pydantic.BaseModel):
    sentiment: Literal["正面", "负面"]
    score: Annotated[int, pydantic.Field(ge=0, le=9)]
    tags: Annotated[list[Literal["a", "b"]], pydantic.Field(max_length=2)]


class Shapes(unittest.TestCase):
    def test_an_answer_is_parsed_into_its_type(self):
        request = {"model": MODEL, "messages": QUESTION, "temperature": 1.0}
        for seed in range(5):
            answer = client().chat.completions.parse(response_format=Review, seed=seed, **request)
            self.assertIsInstance(answer.choices[0].message.parsed, Review)

    def test_an_answer_that_is_cut_is_no_type(self):
        with self.assertRaises(openai.LengthFinishReasonError):
            client().chat.completions.parse(
                response_format=Review, model=MODEL, messages=QUESTION, max_tokens=3
            )

    def test_a_choice_as_clients_of_other_servers_ask_for_it(self):
        answer = ask(extra_body={"structured_outputs": {"choice": ["yes", "no"]}}).choices[0]
        self.assertIn(answer.message.content, ("yes", "no"))
        self.assertEqual(answer.finish_reason, "stop")

    def test_a_schema_that_cannot_be_kept_to_is_refused(self):
        schema = {"type": "array", "uniqueItems": True}
        shape = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
        with self.assertRaisesRegex(openai.BadRequestError, "uniqueItems"):
            ask(response_format=shape)


class Choices(unittest.TestCase):
    def test_several_answers(self):
        answer = ask(n=3, temperature=1.0, seed=3)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
        alone = ask(temperature=1.0, seed=3).choices[0].message.content
        self.assertEqual(answer.choices[0].message.content, alone)

    def test_log_probabilities(self):
        answer = ask(logprobs=True, top_logprobs=3)
        scores = answer.choices[0].logprobs.content
        self.assertEqual(len(scores), answer.usage.completion_tokens)
        for score in scores:
            self.assertEqual(len(score.top_logprobs), 3)
            self.assertEqual(score.token, score.top_logprobs[0].token)
            self.assertLessEqual(score.logprob, 0)
        chunks = list(ask(logprobs=True, top_logprobs=3, stream=True))
        parts = [c.choices[0].logprobs.content for c in chunks if c.choices[0].logprobs]
        self.assertEqual([score for part in parts for score in part], scores)


class Completions(unittest.TestCase):
    PROMPT = "The camera is great, but"

    def complete(self, **changes):
        request = {"model": MODEL, "prompt": self.PROMPT, "max_tokens": 8, **changes}
        return client().completions.create(**request)

    def test_a_text_is_gone_on_with(self):
        plain = self.complete()
        self.assertEqual(plain.object, "text_completion")
        self.assertIn(plain.choices[0].finish_reason, ("stop", "length"))
        echoed = self.complete(echo=True).choices[0].text
        self.assertEqual(echoed, self.PROMPT + plain.choices[0].text)
        streamed = "".join(c.choices[0].text for c in self.complete(stream=True))
        self.assertEqual(streamed, plain.choices[0].text)

    def test_a_prompt_is_scored_and_its_tokens_can_be_sent_back(self):
        scored = self.complete(echo=True, logprobs=2, max_tokens=0)
        scores = scored.choices[0].logprobs
        self.assertEqual("".join(scores.tokens), self.PROMPT)
        self.assertEqual(scored.usage.completion_tokens, 0)
        self.assertIsNone(scores.token_logprobs[0])
        for own, likeliest in zip(scores.token_logprobs[1:], scores.top_logprobs[1:]):
            self.assertIn(own, likeliest.values())
        self.assertEqual(scores.text_offset[0], 0)

    def test_several_prompts(self):
        answer = self.complete(prompt=[self.PROMPT, "Why"], n=2)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2, 3])
        self.assertEqual(answer.choices[0].text, self.complete().choices[0].text)

    def test_what_is_not_built_is_named(self):
        for changes in ({"suffix": "end"}, {"best_of": 2}):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.complete(**changes)
            self.assertEqual(caught.exception.code, "unsupported_parameter")
            self.assertIn(caught.exception.param, changes)


class Embeddings(unittest.TestCase):
    def test_texts_become_vectors_of_length_one(self):
        # Without a format the client asks for base64 and decodes it.
        answer = client().embeddings.create(model=MODEL, input=["It broke.", "It is great."])
        plain = client().embeddings.create(model=MODEL, input="It broke.", encoding_format="float")
        self.assertEqual(list(answer.data[0].embedding), plain.data[0].embedding)
        self.assertEqual(len(answer.data), 2)
        for entry in answer.data:
            self.assertAlmostEqual(sum(x * x for x in entry.embedding), 1, places=4)


class Errors(unittest.TestCase):
    def refused(self, kind, code, param, **changes):
        with self.assertRaises(kind) as caught:
            ask(**changes)
        self.assertEqual((caught.exception.code, caught.exception.param), (code, param))
        return caught.exception

    def test_an_unknown_model_names_the_known_ones(self):
        error = self.refused(openai.NotFoundError, "model_not_found", "model", model="no-such-model")
        self.assertIn(MODEL, error.message)

    def test_an_over_long_prompt_is_refused_and_not_cut(self):
        context = client().models.retrieve(MODEL).model_extra["lathe"]["context_tokens"]
        long = [{"role": "user", "content": "9 8 7 6 5 4 3 2 1 0 " * (context // 10 + 1)}]
        for stream in (False, True):
            self.refused(
                openai.BadRequestError,
                "context_length_exceeded",
                "messages",
                messages=long,
                stream=stream,
            )

    def test_what_is_not_built_is_named(self):
        tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
        for changes in ({"store": True}, {"tools": tools}):
            (param,) = changes
            self.refused(openai.BadRequestError, "unsupported_parameter", param, **changes)

    def test_what_is_out_of_range_is_named(self):
        self.refused(openai.BadRequestError, None, "temperature", temperature=3)
        unknown = {"extra_body": {"temprature": 1}}
        self.refused(openai.BadRequestError, "unknown_parameter", "temprature", **unknown)

    def test_a_body_that_is_not_json(self):
        request = urllib.request.Request(
            BASE_URL + "/chat/completions",
            data=b"{",
            headers={"Content-Type": "application/json"},
        )
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        self.assertEqual(caught.exception.code, 400)
        error = json.load(caught.exception)["error"]
        self.assertEqual(error["type"], "invalid_request_error")


class Health(unittest.TestCase):
    def test_a_token_is_decoded(self):
        with urllib.request.urlopen(BASE_URL.removesuffix("/v1") + "/health") as reply:
            health = json.load(reply)
        self.assertEqual(health["status"], "ok")
        self.assertTrue(health["models"][MODEL]["ok"])


if __name__ == "__main__":
    unittest.main()
