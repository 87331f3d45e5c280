# %% [markdown]
# # 12 · Across the firewall
#
# *45 minutes · students, researchers · the computer works for about two of them*
#
# **You will be able to**
# - say why two hospitals can exchange weights through a folder that neither of them trusts,
# - break a naive mailbox in five ways, and say what would have stopped each,
# - say what a seal, a signature, and a name that can be used only once are good for,
# - run a federation through a mailbox, with each hospital in its own program, and get the same weights as before.

# %%
from pedseg.workbook import charts, figures, lesson

lesson.setup()

# %% [markdown]
# ## Nobody may call a hospital
#
# A hospital's firewall lets connections out and none in, and it takes months of paperwork to open a port. So the study
# that this workbook re-enacts exchanged its networks through a **cloud folder**. Everybody connects to it, uploads a
# file, and checks whether one has arrived. No port is opened, and no forms are filled in.
#
# But strangers run this place, and files can be lost, swapped, or incomplete. Let us first build it the quick way:
# upload a file, check whether its name is in the folder, and read it.

# %%
import shutil

import numpy as np

folder = lesson.runs() / "naive"
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir(parents=True)
weights = {"kernel": np.linspace(-0.5, 0.5, 9), "bias": np.array([0.25])}


# %%
def put(name, weights, arrived=1.0):  # `arrived`: the fraction that has been transmitted so far
    raw = np.concatenate([weights["kernel"], weights["bias"]]).astype("<f4").tobytes()
    (folder / name).write_bytes(raw[: int(len(raw) * arrived)])


def get(name):  # what has not arrived is read as zeros, as from a file whose space was reserved
    raw = (folder / name).read_bytes()
    values = np.frombuffer(raw + bytes(40 - len(raw)), "<f4")
    return {"kernel": values[:9], "bias": values[9:]}


put("round1_Polder", weights)
print([file.name for file in folder.iterdir()])
print(get("round1_Polder")["kernel"])

# %% [markdown]
# It works. Now we break it.
#
# **One: half a file.** A clinical network takes minutes to upload. Its name is in the folder from the first second.
# Here 60 percent have arrived:

# %%
put("round1_Neckar", weights, arrived=0.6)
print("is it there?", (folder / "round1_Neckar").exists())
print(get("round1_Neckar"))

# %% [markdown]
# There was no error. Four of ten weights are zero, and will be averaged in.
#
# **Two: yesterday's file.** Somebody with the password, or a faulty backup, puts an old file under a new name. **Three:
# another hospital's file.** The same, with the file of another hospital.

# %%
shutil.copy(folder / "round1_Polder", folder / "round2_Polder")
shutil.copy(folder / "round1_Polder", folder / "round2_Neckar")
polder, neckar = get("round2_Polder"), get("round2_Neckar")
same = np.array_equal(polder["kernel"], neckar["kernel"])
print("two hospitals with the same update, from the last round:", same)

# %% [markdown]
# **Four: one bit.** A weight is stored in 32 bits: a sign, 8 bits of exponent, and 23 bits of digits. Bit 30 is the
# highest bit of the exponent.
#
# **Question.** The weight is 0.25. What does it become when bit 30 flips?

# %% exercise
bits = np.array([0.25], np.float32).view(np.uint32)
flipped = float((bits ^ np.uint32(1 << 30)).view(np.float32)[0])  # answer
flipped = lesson.check("flipped bit", flipped, weight=0.25, bit=30)

# %% [markdown] answer
# A quarter becomes 85 followed by 36 zeros. With one such weight in one hospital's update, the mean is about as large.

# %%
raw = bytearray((folder / "round1_Polder").read_bytes())
raw[-1] ^= 1 << 6  # bit 30 of the last weight
(folder / "round1_Polder").write_bytes(raw)
print(get("round1_Polder")["bias"])

# %% [markdown]
# **Five: the server loses everything.** Then a program that waits for a name waits forever, or stops with a long error
# message.

# %%
for file in folder.iterdir():
    file.unlink()
print([file.name for file in folder.iterdir()])

# %% [markdown]
# ## What a message needs
#
# | problem | what stops it |
# |---|---|
# | half a file | a file gets its name only when it is complete |
# | changed by somebody | a **signature** over every byte: only the author can make it, everybody can check it |
# | read by strangers | a **seal**: only the receiver can open it |
# | old, or for another round | the signature covers run, round, and request |
# | another hospital's | the signature covers sender and receiver |
# | lost | the author keeps a copy and uploads it again |
#
# For signatures and seals, every member makes **keys**: private keys, which never leave its machine, and public keys
# for all others. Anyone can send false public keys by e-mail. So two people who know each other's voices compare a
# fingerprint over the phone:

# %%
from pedseg.federation.keys import make_keys

print("Polder:", make_keys("Polder").member.fingerprint)

# %% [markdown]
# **Write it**: the coordinator's check of a reply. A `message` has a `header`, the `weights` as bytes, and a
# `signature`. The header is a dictionary with `run`, `round`, `sender`, and the `sha256` of the weights.
# `verify(header, signature)` is true if the sender named in the header has signed exactly this header. `seen` is your
# own set. It is empty at first, and keeps what you put in it from one message to the next.

# %% exercise
import hashlib


def accept(message, run, round_, seen, verify):
    """Whether a reply is let in: signed, whole, of this run and round, not seen before."""
    header = message["header"]  # answer
    whole = header["sha256"] == hashlib.sha256(message["weights"]).hexdigest()  # answer
    place = header["run"], header["round"], header["sender"]  # answer
    if not verify(header, message["signature"]) or not whole:  # answer
        return False  # answer
    if place[:2] != (run, round_) or place in seen:  # answer
        return False  # answer
    seen.add(place)  # answer
    return True  # answer


accept = lesson.check("accept", accept)

# %% [markdown] answer
# The order matters at one point: add to `seen` *after* all tests. Otherwise, anybody can block an honest reply by
# sending a forged one in its name first.

# %% [markdown]
# The signature, not the seal, shows when Neckar's reply is in the place of Polder's. Anybody can seal a message for the
# coordinator, because its sealing key is public. *Stretch goal:* the coordinator's computer crashes, and `seen` is
# lost. What must be on disk, and when, so that a replay is stopped after the restart, too?
#
# ## The safe mailbox, step by step
#
# Here are a coordinator, Polder, Neckar, and a real mailbox. Instead of training, each hospital adds a number to every
# weight: Polder 1, Neckar 2. The coordinator sends, the hospitals poll, and the coordinator receives.

# %%
from mailbox_demo import Demo  # the file beside this notebook

demo = Demo(lesson.runs() / "demo")
demo.send(1, weights)
demo.poll()
for file in sorted(demo.box.rglob("*.0")):
    print(f"{file.stat().st_size:5} bytes  {file.relative_to(demo.box)}")
print({name: reply["bias"] for name, reply in demo.receive().items()})

# %% [markdown]
# **Question.** How many objects are uploaded in a round with ten hospitals?

# %% exercise
objects = 2 * 10 + 1  # answer
objects = lesson.check("objects a round", objects, centers=10)

# %% [markdown] answer
# A request and a reply for each hospital, and the model once for all. The model is encrypted with its own key, and that
# key is sent in the sealed requests. So each hospital downloads the model once per round, and uploads it once.

# %% [markdown]
# Now we try the same five attacks. In the second round, Polder's reply is cut in half, and Neckar's is replaced with
# the one from the first round:

# %%
demo.send(2, weights)
demo.poll()
polder, neckar = demo.reply("Polder", 2), demo.reply("Neckar", 2)
polder.write_bytes(polder.read_bytes()[:400])
neckar.write_bytes(demo.reply("Neckar", 1).read_bytes())
print("let in:", list(demo.receive()))
for problem in demo.grid.refused:
    print(problem.code, "·", problem.problem)

# %% [markdown]
# Nothing was accepted, and each problem is named. What happens next? The hospitals notice that the files are not what
# they wrote, and write them again, under the next number:

# %%
demo.repair()
demo.poll()
print("let in:", list(demo.receive()))

# %% [markdown]
# In round 3, one bit of the model flips, Polder gets Neckar's request, and then the server loses everything.

# %%
demo.send(3, {name: array / 2 for name, array in weights.items()})
model = demo.files("weights")[-1]
raw = bytearray(model.read_bytes())
raw[50] ^= 1 << 6
model.write_bytes(raw)
demo.request("Polder", 3).write_bytes(demo.request("Neckar", 3).read_bytes())
for problem in demo.poll():
    print(problem.code, "·", problem.problem)
demo.delete_all()
demo.repair()
demo.poll()
print("let in:", list(demo.receive()))

# %% [markdown]
# A crash does no harm, either. The names of requests and replies follow from their content, and a reply is kept on disk
# together with the state of its author. So a program that restarts continues where it was. In the tests of this
# workbook, coordinator, hospitals, and server are killed at random moments, over and over. The final network is the
# same every time, bit for bit.
#
# There are things that the mailbox does **not** do. It cannot stop somebody who blocks it forever. It does not hide
# that there is a federation. And the coordinator still sees every single update. `docs/mailbox.md` has the details.
#
# ## The real thing
#
# Now two hospitals run as two separate programs, with keys, and a folder between them. Then the same runs in one
# program. In a real federation you would type `pedseg keys`, `pedseg coordinate`, and `pedseg join`. Each hospital has
# six children here, in voxels of 5 × 5 × 6 mm, so that three programs fit into a laptop's memory.

# %%
from dataclasses import replace

from pedseg.federation import transports
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds

short = {"rounds": 2, "local_steps": lesson.budget(10, test=2), "seed": 0}
short["data"] = lesson.few_children()
config = FederationConfig(**short, out=lesson.runs() / "across")
there = list(lesson.progress(transports.federate(config, "mailbox"), 2, "through a mailbox"))
grid = InProcessGrid(app, [{}, {}], config.to_run_config(), workers=1)
here = list(lesson.progress(train_rounds(grid, replace(config, out=None)), 2, "in one program"))
print("through a mailbox:", there[-1].sha256)
print("in one program:   ", here[-1].sha256)

# %% [markdown]
# What did Polder send? Its **disclosure log** lists every reply: first the fingerprint of its children, and then one
# update per round.

# %%
from pedseg.federation.privacy.disclosure_log import FILE, DisclosureLog

entries = DisclosureLog(config.out / "mailbox" / "Polder" / FILE).entries()
sent = {f"round {row.round}, {row.message_type}": row.sent_bytes / 1e6 for row in entries}
alt = "Megabytes sent: " + ", ".join(f"{name} {value:.2f}" for name, value in sent.items())
figures.show(charts.bars(sent, x="megabytes sent"), alt)

# %% [markdown]
# ## Over a SuperLink
#
# If one machine *can* be reached from outside, Flower has a program for it: the **SuperLink**. Hospitals run
# **SuperNodes** that connect to it, with TLS and a key each. With real hospitals these are the command lines; the steps
# before them (certificates, and the file that tells `flwr` where the SuperLink is) are in `docs/superlink.md`:
#
# ```
# coordinator  flower-superlink --ssl-ca-certfile ca.crt --ssl-certfile server.pem --ssl-keyfile server.key \
#                  --enable-supernode-auth --host 127.0.0.1 --port 9092 --database state.db
# coordinator  flwr supernode register polder.pub --name Polder
# hospital     flower-supernode --root-certificates ca.crt --superlink coordinator.example:443 \
#                  --auth-supernode-private-key polder --node-config 'partition-id=0 data-dir="Dataset901_Polder"'
# coordinator  flwr run . consortium --stream --run-config 'rounds=10'
# ```
#
# `pedseg federate --transport superlink` rehearses all of it on one machine, including certificates and keys. It starts
# a new program for every message, so even a short federation takes minutes. Here is a recorded log, with the same
# children, rounds, and seed as above:

# %%
import json

recorded = lesson.recorded("superlink")
print((recorded / "run.log").read_text().strip())

# %%
summary = json.loads((recorded / "summary.json").read_text())
print("over the SuperLink:         ", summary["sha256"][-1], f"({summary['seconds']} seconds)")
print("in one program, that machine:", summary["sha256_in_process"][-1])
print("in one program, here:        ", here[-1].sha256)
for row in DisclosureLog(recorded / "Polder.tsv").entries():
    print(f"Polder sent in round {row.round}: {row.message_type:18} {row.sent_bytes:9,} bytes")

# %% [markdown]
# On one machine, the two are the same, bit for bit. Whether your machine gets the same weights depends on its
# processor: another one may add in another order. (The short run for tests has fewer steps, and so other weights.)
#
# `docs/superlink.md` says why the SuperLink must be behind a proxy: by default, anyone who can reach it can submit
# programs to all hospitals.

# %% [markdown]
# ## What to remember
#
# - A shared folder needs no open port, and deserves no trust.
# - A message must be signed, sealed, bound to its sender and round, complete, and kept by its author.
# - Everything depends on comparing fingerprints over the phone.
# - Safe does not mean secret from the coordinator. That is the topic of chapter [[what_leaves_the_hospital]].

# %%
lesson.finish()
