"""Ask a server that speaks OpenAI's chat protocol about a text, and read its answer.

Any server will do that answers `POST ENDPOINT/chat/completions` (vLLM, llama.cpp, Ollama, LM Studio, hosted ones).
The key goes into the request's header and nowhere else.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, Field, field_validator

Form = Literal["yes-no", "0-5"]

PLACE = "{text}"
"""Where a prompt has the text."""

_SCORE = re.compile(r"score\W{0,5}([0-5])(?!\.?\d)", re.IGNORECASE)
_WORD = re.compile(r"[a-z]+")
_SHOWN = 200


class ChatSettings(BaseModel, frozen=True, extra="forbid"):
    """Whom to ask, what, and how hard to try. FineWeb-Edu and Kong et al. 2024 judge the beginning of a document."""

    endpoint: str
    """The URL before `/chat/completions`, such as http://localhost:8000/v1."""
    model: str
    form: Form = "yes-no"
    prompt: str
    """With `{text}` where the text goes."""
    characters: int = Field(default=3000, ge=1)
    """The length of the beginning of a document that is shown."""
    temperature: float = Field(default=0.0, ge=0)
    max_tokens: int = Field(default=200, ge=1)
    probabilities: bool = False
    """Ask for the probabilities of the first word, so that a yes-no answer has degrees (Kong et al. 2024)."""
    at_once: int = Field(default=8, ge=1)
    """Requests that wait for an answer at the same time."""
    per_minute: float | None = Field(default=None, gt=0)
    """Requests begun in a minute at most."""
    attempts: int = Field(default=5, ge=1)
    """Requests for one document, before it counts as failed."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds until a request without an answer is given up."""
    backoff: float = Field(default=1.0, ge=0)
    """Seconds before the second attempt; doubled for each further one, a minute at most."""
    failures_in_a_row: int = Field(default=20, ge=1)
    """Documents that fail one after the other before labelling stops."""

    @field_validator("endpoint")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give a URL such as http://localhost:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError("the URL must hold no key: put it into an environment variable")
        return value.rstrip("/")

    @field_validator("prompt")
    @classmethod
    def _has_a_place(cls, value: str) -> str:
        if value.count(PLACE) != 1:
            raise ValueError(f"the prompt must have {PLACE} exactly once, where the text goes")
        return value

    def request(self, text: str) -> dict[str, Any]:
        """The body of the request about a text: all that an answer depends on."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": self.prompt.replace(PLACE, text[: self.characters])}],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }
        return body | {"logprobs": True, "top_logprobs": 10} if self.probabilities else body


class Answer(BaseModel, frozen=True):
    """What was answered: the score (0 to 1 for yes-no, 0 to 5 for 0-5) and the words."""

    score: float
    text: str


class NoAnswerError(Exception):
    """A document got no usable answer, for a reason that a later run may not meet. `reason` is one word to count by."""

    def __init__(self, reason: str, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.wait = wait


class RefusedError(Exception):
    """The server refuses every request: a wrong key, model or address."""


class Pace:
    """Lets requests begin at an even pace, and holds all of them back when the server asks for it."""

    def __init__(self, per_minute: float | None) -> None:
        self._interval = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for one's turn."""
        loop = asyncio.get_running_loop()
        # Whoever wakes first takes the turn and moves the next one on; a hold moves it too.
        while (now := loop.time()) < self._next:
            await asyncio.sleep(self._next - now)
        self._next = now + self._interval

    def hold(self, seconds: float) -> None:
        """Let nothing begin for some time."""
        self._next = max(self._next, asyncio.get_running_loop().time() + seconds)


class Chat:
    """A connection to the server."""

    def __init__(self, client: httpx.AsyncClient, settings: ChatSettings, key: str | None) -> None:
        self._client, self._settings, self._key = client, settings, key
        self._pace = Pace(settings.per_minute)

    async def ask(self, text: str) -> Answer:
        """The answer about a text, after as many attempts as are allowed.

        Raises:
            NoAnswerError: when none of them gave a usable answer.
            RefusedError: when the server will not answer any request.
        """
        wait = self._settings.backoff
        for attempt in range(1, self._settings.attempts + 1):
            await self._pace.turn()
            try:
                return await self._attempt(text)
            except NoAnswerError as error:
                if attempt == self._settings.attempts or error.reason == "rejected":
                    raise
                if error.wait is not None:
                    self._pace.hold(error.wait)
                else:
                    await asyncio.sleep(wait)
                wait = min(2 * wait, 60.0)
        raise AssertionError("there is at least one attempt")

    async def _attempt(self, text: str) -> Answer:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        url = f"{self._settings.endpoint}/chat/completions"
        try:
            response = await self._client.post(url, json=self._settings.request(text), headers=headers)
        except httpx.TimeoutException as error:
            raise NoAnswerError("timeout", f"no answer within {self._settings.timeout:g} s") from error
        except httpx.HTTPError as error:
            raise NoAnswerError("connection", self._hidden(str(error) or type(error).__name__)) from error
        self._check(response)
        try:
            choice = response.json()["choices"][0]
            content = choice["message"]["content"]
        except (ValueError, LookupError, TypeError) as error:
            raise NoAnswerError("bad_response", "the response is not of the chat protocol") from error
        return read_answer(content, choice.get("logprobs"), self._settings.form)

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == 200:
            return
        if status in (401, 403):
            # Such messages may quote the key.
            raise RefusedError(
                f"the server answers {status}: the key is missing, wrong, or not for this model"
            )
        said = self._hidden(" ".join(response.text[: 4 * _SHOWN].split())[:_SHOWN])
        if status in (404, 405) or 300 <= status < 400:
            raise RefusedError(
                f"the server answers {status} for {self._settings.endpoint}/chat/completions "
                f"and the model {self._settings.model}: {said}"
            )
        if status in (429, 503):
            raise NoAnswerError("busy", f"the server answers {status}", _retry_after(response.headers))
        if status >= 500 or status in (408, 409, 425):
            raise NoAnswerError("server_error", f"the server answers {status}: {said}")
        raise NoAnswerError("rejected", f"the server answers {status}: {said}")

    def _hidden(self, message: str) -> str:
        return message.replace(self._key, "***") if self._key else message


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that the server asks to wait, five minutes at most."""
    given = headers.get("retry-after", "")
    try:
        seconds = float(given)
    except ValueError:
        return None
    return min(seconds, 300.0) if seconds >= 0 else None


def read_answer(content: Any, logprobs: Any, form: Form) -> Answer:
    """The score in an answer.

    yes-no: one of the two words must stand in it, and not the other; with probabilities, P(yes) / (P(yes) + P(no)) of
    its first word. 0-5: the last "Score: N", or a number alone.

    Raises:
        NoAnswerError: when no score can be read.
    """
    if not isinstance(content, str):
        raise NoAnswerError("bad_response", "the answer has no text")
    if form == "yes-no":
        degree = _degree(logprobs)
        if degree is not None:
            return Answer(score=degree, text=content)
        found = {word for word in _WORD.findall(content.lower()) if word in ("yes", "no")}
        if len(found) == 1:
            return Answer(score=float("yes" in found), text=content)
    else:
        marks = _SCORE.findall(content)
        if marks:
            return Answer(score=float(marks[-1]), text=content)
        if content.strip().rstrip(".") in ("0", "1", "2", "3", "4", "5"):
            return Answer(score=float(content.strip()[0]), text=content)
    raise NoAnswerError("unreadable", f"no {form} answer in {content[:60]!r}")


def _degree(logprobs: Any) -> float | None:
    """P(yes) / (P(yes) + P(no)) of the first word; None where the server gave no such thing."""
    try:
        first = [(str(top["token"]), float(top["logprob"])) for top in logprobs["content"][0]["top_logprobs"]]
    except (LookupError, TypeError, ValueError):
        return None
    sums = {"yes": 0.0, "no": 0.0}
    for token, value in first:
        word = token.strip().lower()
        if word in sums and value <= 0:
            sums[word] += math.exp(value)
    total = sums["yes"] + sums["no"]
    return sums["yes"] / total if total else None
