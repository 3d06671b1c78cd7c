"""Asks ten questions, two at a time; run by a test that kills it."""

import sys

from sama_video.remote.language_model import LanguageModel
from sama_video.remote.messages import Message, Request
from sama_video.remote.reply_store import ReplyStore
from sama_video.remote.transport import Endpoint, OpenAITransport

url, path = sys.argv[1:]
with LanguageModel("m", ReplyStore(path), OpenAITransport(Endpoint(url))) as model:
    requests = (Request((Message("user", (f"question {number}",)),), "v1") for number in range(10))
    for _, reply in model.ask_all(requests, workers=2):
        print(getattr(reply, "text", reply), flush=True)
