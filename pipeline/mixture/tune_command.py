"""The user's own proxy for `mixture tune`: a command that trains with some weights and prints losses as JSON."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, Field, field_validator

from pipeline import storage
from pipeline.errors import UserError
from pipeline.mixture.settings import MixtureSettings

PLACE: Final = "{}"
"""Stands in the command for the path of the candidate's JSON file; without it the path is the last argument."""
TOLD: Final = 2000
"""Characters of a failed command's messages that are shown."""


class Command(BaseModel, frozen=True, extra="forbid"):
    """A command line, cut into arguments as a shell would (none is started), and its time limit in seconds."""

    line: str
    timeout: float = Field(default=3600, gt=0, allow_inf_nan=False)

    @field_validator("line")
    @classmethod
    def _can_be_cut(cls, value: str) -> str:
        if not shlex.split(value):  # raises ValueError for an open quote
            raise ValueError("the command is empty")
        return value

    def arguments(self, path: str) -> list[str]:
        """The arguments with the path in its place."""
        parts = shlex.split(self.line)
        if not any(PLACE in part for part in parts):
            return [*parts, path]
        return [part.replace(PLACE, path) for part in parts]


def run_command(
    command: Command,
    settings: MixtureSettings,
    weights: Sequence[float],
    tokens: int,
    held_out: Mapping[str, Sequence[str]],
    folder: str,
) -> dict[str, float]:
    """Run the command for a candidate; the losses that it prints, by held-out set.

    It gets the path of a JSON file (weights, tokens, seed, tokenizer, components and held-out sets with their files, and the
    path of `mixture.json`, which `corpusmill mixture build --config` understands), runs in a folder of its own, and prints
    {"loss": {"NAME": nats per token, ...}} as the last line of its standard output.

    Args:
        command: what to run.
        settings: the mixture.
        weights: the candidate's, in the order of the components.
        tokens: size of the sample.
        held_out: name -> files.
        folder: the candidate's folder, on this machine.

    Raises:
        UserError: when it cannot be started, fails, takes too long, or prints no such line.
    """
    if not storage.is_local(folder):
        raise UserError("--command runs on this machine and needs a local --output.")
    storage.make_folder(folder)
    shares = dict(zip(settings.components, weights, strict=True))
    content = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    content["components"] = {
        name: {**content["components"][name], "weight": share} for name, share in shares.items() if share > 0
    }
    mixture_path = storage.join(folder, "mixture.json")
    storage.write_bytes(mixture_path, _dumped({**content, "tokens": tokens}))
    path = storage.join(folder, "candidate.json")
    about = {
        "weights": shares,
        "tokens": tokens,
        "seed": settings.seed,
        "tokenizer": settings.tokenizer,
        "components": {name: list(each.input) for name, each in settings.components.items()},
        "held_out": {name: list(each) for name, each in held_out.items()},
        "mixture": mixture_path,
    }
    storage.write_bytes(path, _dumped(about))
    arguments = command.arguments(path)
    return read_losses(_output(arguments, command.timeout, folder), list(held_out), arguments)


def _output(arguments: Sequence[str], timeout: float, folder: str) -> str:
    shown = shlex.join(arguments)
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command
            arguments,
            cwd=storage.local_path(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise UserError(f"--command: {shown} cannot be started: {error.strerror or error}.") from error
    try:
        out, messages = process.communicate(timeout=timeout)
    except BaseException as error:
        # What the command has started goes with it: they share its session.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise UserError(
                f"--command: {shown} took more than {timeout:g} s and was stopped; --command-timeout sets the limit."
            ) from error
        raise
    if process.returncode:
        told = messages.decode("utf-8", "replace").strip()[-TOLD:] or "it printed no messages"
        raise UserError(f"--command: {shown} ended with code {process.returncode}:\n{told}")
    return out.decode("utf-8", "replace")


def read_losses(output: str, names: Sequence[str], arguments: Sequence[str]) -> dict[str, float]:
    """The losses on the last line of a command's output.

    Raises:
        UserError: when it is not {"loss": {name: finite number}} with all names.
    """
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "")
    where = f"--command: {shlex.join(arguments)}: the last line of its output"
    try:
        found: Any = json.loads(last)
    except ValueError as error:
        raise UserError(f'{where} is not JSON: {last[:200]!r}. Print {{"loss": {{...}}}}.') from error
    losses = found.get("loss") if isinstance(found, dict) else None
    if not isinstance(losses, dict):
        raise UserError(f'{where} has no "loss": {last[:200]!r}. Print {{"loss": {{"NAME": number}}}}.')
    for name in names:
        value = losses.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f'{where} has no number for the held-out set "{name}": {last[:200]!r}.')
    return {name: float(losses[name]) for name in names}


def _dumped(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
