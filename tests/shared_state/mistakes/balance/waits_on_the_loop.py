"""Deposits look again and again whether the balance is the same still, and wait on the loop for the lock of a thread.

Diagnosis: a lock for threads is waited for on the loop
"""

# exercise: shared_state/balance
import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request


class Bank:
    """What must be asked before a balance changes: given the balance, it takes a moment. Not ours to change."""

    async def confirm(self, balance: int) -> None:
        await asyncio.sleep(0.02)

    def allow(self, balance: int) -> None:  # an old SDK, synchronous
        time.sleep(0.02)


@dataclass
class Account:
    balance: int = 100
    bank: Bank = field(default_factory=Bank)
    lock: threading.Lock = field(default_factory=threading.Lock)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"account": Account()}


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/balance")
async def read_balance(request: Request) -> int:
    return request.state.account.balance


@app.post("/deposit")
async def deposit(request: Request) -> None:
    account = request.state.account
    while True:
        with account.lock:
            balance = account.balance
        await account.bank.confirm(balance)
        with account.lock:
            if account.balance == balance:
                account.balance = balance + 1
                return


@app.post("/withdraw")
def withdraw(request: Request) -> None:
    account = request.state.account
    with account.lock:
        balance = account.balance
        account.bank.allow(balance)
        account.balance = balance - 3
