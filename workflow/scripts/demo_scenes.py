"""Drawn people who do things: what the films and videos of the demo show.

An action is decided by how a person moves and by the colour of the clothes, strongly enough that a few dozen steps of
training find it. Everything is a function of time, so that frames and annotations come from one place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, radians, sin

import cv2
import numpy as np

# Lengths of a person's parts as fractions of the standing height, which they add up to.
LEG, TORSO, ARM, HEAD = 0.24, 0.36, 0.34, 0.16  # a leg is two of them: thigh and shin
SHIRT = 0.3  # the width of the widest part
SKIN = (224, 172, 138)


@dataclass(frozen=True)
class Pose:
    """Angles in degrees: of limbs from straight down, of the torso from upright; positive is forward (right).

    ``x`` and ``lift`` displace the whole person, in standing heights.
    """

    x: float = 0.0
    lift: float = 0.0
    lean: float = 0.0
    arms: tuple[float, float] = (12.0, -12.0)
    thighs: tuple[float, float] = (6.0, -6.0)
    shins: tuple[float, float] = (6.0, -6.0)


def swing(t, hertz, amplitude):
    """A sine of time (s)."""
    return amplitude * sin(2 * pi * hertz * t)


# No rhythm below fits whole seconds: the people differ from one annotated second to the next.


def walk(t):
    stride = swing(t, 0.9, 28)
    return Pose(x=swing(t, 0.23, 0.2), arms=(-stride, stride), thighs=(stride, -stride), shins=(stride, -stride))


def run(t):
    stride = swing(t, 1.8, 50)
    shins = (stride - 40, -stride - 40)
    return Pose(x=swing(t, 0.45, 0.3), lean=18, arms=(-stride, stride), thighs=(stride, -stride), shins=shins)


def sit(t):
    return Pose(lean=swing(t, 0.2, 3), arms=(45, 35), thighs=(82, 76), shins=(0, -4))


def bend(t):
    lean = 50 + swing(t, 0.4, 35)
    return Pose(lean=lean, arms=(lean / 2, lean / 2 + 10))


def wave(t):
    return Pose(arms=(-12, 150 + swing(t, 1.3, 28)))


def jump(t):
    height = abs(swing(t, 0.7, 1))
    return Pose(lift=0.15 * height, arms=(40 + 110 * height, -40 - 110 * height))


def dance(t):
    arm = swing(t, 0.9, 50)
    return Pose(x=swing(t, 0.45, 0.1), lean=swing(t, 0.9, 15), arms=(90 + arm, -90 + arm))


@dataclass(frozen=True)
class Action:
    """How a person moves (time in seconds to pose) and is dressed (RGB)."""

    pose: Callable[[float], Pose]
    colour: tuple[int, int, int]


ACTIONS = {
    "stand": Action(lambda t: Pose(), (30, 50, 230)),
    "walk": Action(walk, (225, 25, 25)),
    "run": Action(run, (225, 30, 215)),
    "sit": Action(sit, (20, 175, 35)),
    "bend": Action(bend, (240, 220, 15)),
    "wave": Action(wave, (20, 215, 220)),
    "jump": Action(jump, (250, 250, 250)),
    "dance": Action(dance, (15, 15, 15)),
}


@dataclass(frozen=True)
class Appearance:
    """A person who does one action from ``start`` to ``stop`` (s); ``x`` is the place, a fraction of the width."""

    person: int
    action: str
    start: float
    stop: float
    x: float = 0.5


@dataclass(frozen=True)
class Scene:
    """A still background (H, W, 3) uint8 RGB, the standing height as a fraction of H, and who appears when."""

    background: np.ndarray
    height: float
    appearances: tuple[Appearance, ...]

    def at(self, t):
        """The appearances at time ``t`` (s)."""
        return [appearance for appearance in self.appearances if appearance.start <= t < appearance.stop]

    def draw(self, t):
        """The frame at time ``t`` (s): (H, W, 3) uint8 RGB."""
        frame = self.background.copy()
        for appearance in self.at(t):
            action = ACTIONS[appearance.action]
            draw_person(frame, self._joints(appearance, t), self._pixels, action.colour)
        return frame

    def box(self, appearance, t):
        """Where a person is: x1, y1, x2, y2 as fractions of the frame, within [0, 1]."""
        joints = np.array(list(self._joints(appearance, t).values()))
        margin = SHIRT / 2 * self._pixels
        size = self.background.shape[1::-1]
        corners = np.concatenate([joints.min(axis=0) - margin, joints.max(axis=0) + margin])
        return np.clip(corners / np.tile(size, 2), 0, 1)

    @property
    def _pixels(self):
        return self.height * self.background.shape[0]

    def _joints(self, appearance, t):
        """Pixel coordinates (x, y) of the joints; the lower foot stands near the bottom of the frame."""
        height, width = self.background.shape[:2]
        origin = np.array([appearance.x * width, 0.97 * height])
        joints = find_joints(ACTIONS[appearance.action].pose(t))
        return {name: origin + self._pixels * np.array([x, -y]) for name, (x, y) in joints.items()}


def find_joints(pose):
    """Joints of a person of height 1 above the origin: name to (x, y), y upwards."""
    reach = [LEG * (cos(radians(a)) + cos(radians(b))) for a, b in zip(pose.thighs, pose.shins, strict=True)]
    hip = (pose.x, pose.lift + max(reach))
    neck = _end(hip, TORSO, 180 - pose.lean)
    joints = {"hip": hip, "neck": neck, "head": _end(neck, HEAD / 2, 180 - pose.lean)}
    for side in (0, 1):
        knee = joints[f"knee{side}"] = _end(hip, LEG, pose.thighs[side])
        joints[f"foot{side}"] = _end(knee, LEG, pose.shins[side])
        joints[f"hand{side}"] = _end(neck, ARM, pose.arms[side])
    return joints


def _end(start, length, angle):
    """The end of a limb; ``angle`` in degrees from straight down."""
    return (start[0] + length * sin(radians(angle)), start[1] - length * cos(radians(angle)))


def draw_person(frame, joints, height, colour):
    """Draw a person of ``height`` pixels: trousers a shade darker than the shirt, head and hands bare."""
    shade = tuple(int(0.75 * value) for value in colour)

    def limb(start, end, thickness, paint):
        ends = [tuple(map(round, map(float, joints[joint]))) for joint in (start, end)]
        cv2.line(frame, *ends, paint, max(1, round(thickness * height)), cv2.LINE_AA)

    for side in (0, 1):
        limb("hip", f"knee{side}", 0.15, shade)
        limb(f"knee{side}", f"foot{side}", 0.13, shade)
    limb("hip", "neck", SHIRT, colour)
    for side in (0, 1):
        limb("neck", f"hand{side}", 0.12, colour)
        limb(f"hand{side}", f"hand{side}", 0.1, SKIN)
    limb("head", "head", HEAD, SKIN)  # a line from a point to itself is a disc


def draw_background(rng, width, height):
    """A dull, still wall and floor, so that neither its colour nor its motion tells anything: (H, W, 3) uint8."""
    coarse = rng.uniform(105, 150, (5, 6, 1)) + rng.uniform(-6, 6, (5, 6, 3))
    wall = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    wall[round(0.85 * height) :] *= 0.7
    return np.clip(wall + rng.normal(0, 4, (height, width, 1)), 0, 255).astype(np.uint8)
