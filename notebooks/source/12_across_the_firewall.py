# %% [markdown]
# # 12 · Across the firewall
#
# *45 minutes · students, researchers · the computer works for about two of them*
#
# **You will be able to**
# - say why two hospitals can exchange weights through a folder that neither of them trusts,
# - break a naive mailbox in five ways, and say what would have stopped each,
# - tell what a seal, a signature and a name that is taken once are good for,
# - run a federation through a mailbox, every hospital a program of its own, to the same weights as before.

# %%
from pedseg.workbook import charts, figures, lesson

lesson.setup()

# %% [markdown]
# ## Nobody may call a hospital
#
# A hospital's firewall lets calls out and none in, and to open a port takes months of forms. So the study that this
# workbook re-enacts exchanged its networks through a **cloud folder**: everybody calls out to it, puts a file
# there, and looks whether one has come. No port is opened, no forms are filled in.
#
# It is also a place that strangers run, where files can be lost, exchanged or half there. Let us build it as one
# would on an afternoon: put a file, look whether its name is in the listing, read it.

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
# **One: half a file.** A network of the clinic takes minutes to upload. The name stands in the listing from the first
# second. Here 60 percent have arrived:

# %%
put("round1_Neckar", weights, arrived=0.6)
print("is it there?", (folder / "round1_Neckar").exists())
print(get("round1_Neckar"))

# %% [markdown]
# Nobody complained. Four of ten weights are zeros, and will be averaged in.
#
# **Two: yesterday's file.** Somebody with the password, or a confused backup, puts an old file under a new name.
# **Three: another hospital's file.** The same, with the other one's.

# %%
shutil.copy(folder / "round1_Polder", folder / "round2_Polder")
shutil.copy(folder / "round1_Polder", folder / "round2_Neckar")
polder, neckar = get("round2_Polder"), get("round2_Neckar")
same = np.array_equal(polder["kernel"], neckar["kernel"])
print("two hospitals with the same update, from the last round:", same)

# %% [markdown]
# **Four: one bit.** A weight is stored in 32 bits: a sign, eight bits of exponent, 23 of digits. Bit 30 is the highest
# of the exponent.
#
# **Question.** The weight is 0.25. What does it become when bit 30 flips?

# %% exercise
bits = np.array([0.25], np.float32).view(np.uint32)
flipped = float((bits ^ np.uint32(1 << 30)).view(np.float32)[0])  # answer
flipped = lesson.check("flipped bit", flipped, weight=0.25, bit=30)

# %% [markdown] answer
# A quarter becomes 85 followed by 36 zeros. One such weight in one hospital's update, and the mean is as large.

# %%
raw = bytearray((folder / "round1_Polder").read_bytes())
raw[-1] ^= 1 << 6  # bit 30 of the last weight
(folder / "round1_Polder").write_bytes(raw)
print(get("round1_Polder")["bias"])

# %% [markdown]
# **Five: the server forgets.** Then a program that waits for a name waits forever, or stops with a page of red text.

# %%
for file in folder.iterdir():
    file.unlink()
print([file.name for file in folder.iterdir()])

# %% [markdown]
# ## What a message needs
#
# | trouble | what stops it |
# |---|---|
# | half a file | it gets its name when it is whole, and not before |
# | changed, by whomever | a **signature** over every byte: only the author can make it, everybody can check it |
# | read by strangers | a **seal**: only the receiver can open it |
# | old, or for another round | run, round and request stand in what is signed |
# | another hospital's | so do the sender and the receiver |
# | lost | the author keeps a copy, and puts it back |
#
# For both, every member makes **keys**: private halves, which never leave its machine, and public ones for all others.
# Who sends false public keys by e-mail can be everybody. So two people who know each other's voices compare a
# fingerprint over the phone:

# %%
from pedseg.federation.keys import make_keys

print("Polder:", make_keys("Polder").member.fingerprint)

# %% [markdown]
# **Write it**: the coordinator's check of a reply. `message` has a `header` (a dictionary with `run`, `round`,
# `sender`, and the `sha256` of the weights), the `weights` as bytes, and a `signature`. `verify(header, signature)`
# is true if the sender that the header names has signed this very header. `seen` is a set of your own, empty at
# first, that stays from one message to the next.

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
# The order matters at one place: remember *after* all tests. Otherwise anybody can block an honest reply by sending a
# forged one under its name first.

# %% [markdown]
# The signature, not the seal, tells when Neckar's reply lies in the place of Polder's: anybody can seal a message
# for the coordinator, whose sealing key is public. *Stretch goal:* the coordinator's computer dies, and `seen` with
# it. What must be on disk, and when, so that a replay is stopped after the restart, too?
#
# ## The safe mailbox, one move at a time
#
# Here are a coordinator, Polder, Neckar and a real mailbox. In place of training, a hospital adds a number to every
# weight: Polder 1, Neckar 2. The coordinator sends, the hospitals poll, the coordinator receives.

# %%
from mailbox_demo import Demo  # the file beside this notebook

demo = Demo(lesson.runs() / "demo")
demo.send(1, weights)
demo.poll()
for file in sorted(demo.box.rglob("*.0")):
    print(f"{file.stat().st_size:5} bytes  {file.relative_to(demo.box)}")
print({name: reply["bias"] for name, reply in demo.receive().items()})

# %% [markdown]
# **Question.** How many objects does a round with ten hospitals bring?

# %% exercise
objects = 2 * 10 + 1  # answer
objects = lesson.check("objects a round", objects, centers=10)

# %% [markdown] answer
# A request and a reply for each, and the model once for all: it is encrypted under a key of its own, and that key
# travels in the sealed requests. So each hospital downloads the model once a round and uploads it once.

# %% [markdown]
# Now the same five ways, in the second round. Polder's answer is cut in half, and Neckar's is replaced with the one of
# the first round:

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
# Nothing was let in, and each trouble has its name. And now? The hospitals notice that what lies there is not what they
# wrote, and write again, under the next number:

# %%
demo.repair()
demo.poll()
print("let in:", list(demo.receive()))

# %% [markdown]
# In round 3, one bit of the model flips, Polder gets Neckar's request, and then the server forgets everything.

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
# The same holds when a program dies: request and reply have names that follow from their content, a reply is kept
# on disk together with the state of its author, and whoever comes up again goes on where it was. In the tests of this
# workbook, coordinator, hospitals and server are killed at random moments, over and over; the final network is the
# same every time, to the last bit.
#
# What the mailbox does **not** do: it cannot make somebody stop who blocks it for ever, it does not hide that there is
# a federation, and the coordinator still sees every single update. The page `docs/mailbox.md` says it all.
#
# ## The real thing
#
# Two hospitals as two programs of their own, with keys, and a folder between them. And the same in one program. At home
# you would type `pedseg keys`, `pedseg coordinate` and `pedseg join`.

# %%
from pedseg.federation import transports
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds

short = {"rounds": 2, "local_steps": lesson.budget(10, test=2), "seed": 0}
short["data"] = lesson.centers()[0].folder.parent
config = FederationConfig(**short, out=None)
grid = InProcessGrid(app, [{}, {}], config.to_run_config(), workers=1)
here = list(lesson.progress(train_rounds(grid, config), 2, "in one program"))
config = FederationConfig(**short, out=lesson.runs() / "across")
there = list(lesson.progress(transports.federate(config, "mailbox"), 2, "through a mailbox"))
print("in one program:   ", here[-1].sha256)
print("through a mailbox:", there[-1].sha256)

# %% [markdown]
# What did Polder send? Its **disclosure log** lists every reply: a fingerprint of its children in numbers, and then an
# update each round.

# %%
from pedseg.federation.privacy.disclosure_log import FILE, DisclosureLog

entries = DisclosureLog(config.out / "mailbox" / "Polder" / FILE).entries()
sent = {f"round {row.round}, {row.message_type}": row.sent_bytes / 1e6 for row in entries}
alt = "Megabytes sent: " + ", ".join(f"{name} {value:.2f}" for name, value in sent.items())
figures.show(charts.bars(sent, x="megabytes sent"), alt)

# %% [markdown]
# ## Over a SuperLink
#
# Where one machine *can* be reached from outside, Flower has a program for that place: the **SuperLink**. Hospitals
# run **SuperNodes** that call out to it, with TLS and a key each. With real hospitals these are the command lines:
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
# `pedseg federate --transport superlink` rehearses all of it on one machine, certificates and keys included. It
# starts a new program for every message, so that even a short federation takes minutes; here is the log of one that
# was recorded, with the same children, rounds and seed as above:

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
# On one machine the two are the same to the last bit. Whether this machine comes to them, too, depends on its
# processor: another one may add in another order. (In the short run for tests there are fewer steps, and so other
# weights.)
#
# `docs/superlink.md` says why the SuperLink must stand behind a proxy: as it comes, whoever reaches it may submit
# programs to all hospitals.

# %% [markdown]
# ## What to remember
#
# - A shared folder needs no open port, and deserves no trust.
# - Signed, sealed, bound to its place and round, whole or not there, kept by its author.
# - The fingerprint over the phone is the moment on which all else rests.
# - Safe does not mean secret from the coordinator. That is the [next chapter](13_what_leaves_the_hospital.ipynb).

# %%
lesson.finish()
