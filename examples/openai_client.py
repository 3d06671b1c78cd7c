"""Two turns about a video with OpenAI's own client, against a running `sama serve`.

    python examples/openai_client.py clip.mp4 51 153

The numbers are the pixel of frame 0 that the first question points at. Needs `pip install openai`.
"""

import os
import sys

import openai

video, x, y = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
address = os.environ.get("SAMA_URL", "http://127.0.0.1:8000/v1")
client = openai.OpenAI(base_url=address, api_key=os.environ.get("SAMA_API_KEY", "none"))
model = client.models.list().data[0].id
with open(video, "rb") as file:
    clip = client.files.create(file=file, purpose="user_data")

# The clip and the first question; the region part is what <region> stands for.
messages = [
    {
        "role": "user",
        "content": [
            {"type": "video_url", "video_url": {"url": clip.id}},
            {"type": "text", "text": "What is <region>?"},
            {"type": "region", "region": {"frame": 0, "points": [[x, y]]}},
        ],
    }
]
said = client.chat.completions.create(model=model, messages=messages).choices[0].message
print(said.content)

# The whole conversation again, with the answer and its grounding as they came: obj1 is what was pointed at.
messages += [said, {"role": "user", "content": "What color is <obj1>?"}]
for chunk in client.chat.completions.create(model=model, messages=messages, stream=True):
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
print()
