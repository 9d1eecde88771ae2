"""Draw people who perform actions, for the films and videos of the demo.

Motion and the color of the clothes show the action, clearly enough to be learned in a few dozen training steps. Frames
and boxes are computed from the same function of time, so they agree.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, radians, sin

import cv2
import numpy as np

# Lengths as fractions of the standing height. LEG is the length of thigh and of shin: 2 * LEG + TORSO + HEAD = 1.
LEG, TORSO, ARM, HEAD = 0.24, 0.36, 0.34, 0.16
SHIRT = 0.3  # the width of the widest part
SKIN = (224, 172, 138)


@dataclass(frozen=True)
class Pose:
    """Angles in degrees: of limbs from straight down, of the torso from upright; positive is forward (right).

    ``x`` and ``lift`` displace the whole person, in units of the standing height.
    """

    x: float = 0.0
    lift: float = 0.0
    lean: float = 0.0
    arms: tuple[float, float] = (12.0, -12.0)
    thighs: tuple[float, float] = (6.0, -6.0)
    shins: tuple[float, float] = (6.0, -6.0)


def swing(t, hertz, amplitude):
    """Return a sine of time (s)."""
    return amplitude * sin(2 * pi * hertz * t)


# No period below is a whole number of seconds, so that poses differ between annotated seconds.


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
    """A person's motion (time in seconds to pose) and color of clothes (RGB)."""

    pose: Callable[[float], Pose]
    color: tuple[int, int, int]


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
    """A person who performs one action from ``start`` to ``stop`` (s) at ``x``, a fraction of the width."""

    person: int
    action: str
    start: float
    stop: float
    x: float = 0.5


@dataclass(frozen=True)
class Scene:
    """A background (H, W, 3) uint8 RGB, the people's standing height as a fraction of H, and their appearances."""

    background: np.ndarray
    height: float
    appearances: tuple[Appearance, ...]

    def at(self, t):
        """Return the appearances at time ``t`` (s)."""
        return [appearance for appearance in self.appearances if appearance.start <= t < appearance.stop]

    def draw(self, t):
        """Draw the frame at time ``t`` (s): (H, W, 3) uint8 RGB."""
        frame = self.background.copy()
        for appearance in self.at(t):
            action = ACTIONS[appearance.action]
            draw_person(frame, self._joints(appearance, t), self._pixels, action.color)
        return frame

    def box(self, appearance, t):
        """Return a person's box at time ``t``: x1, y1, x2, y2 as fractions of the frame, within [0, 1]."""
        joints = np.array(list(self._joints(appearance, t).values()))
        margin = SHIRT / 2 * self._pixels
        size = self.background.shape[1::-1]
        corners = np.concatenate([joints.min(axis=0) - margin, joints.max(axis=0) + margin])
        return np.clip(corners / np.tile(size, 2), 0, 1)

    @property
    def _pixels(self):
        return self.height * self.background.shape[0]

    def _joints(self, appearance, t):
        """Return pixel coordinates (x, y) of the joints; the lower foot is near the bottom of the frame."""
        height, width = self.background.shape[:2]
        origin = np.array([appearance.x * width, 0.97 * height])
        joints = find_joints(ACTIONS[appearance.action].pose(t))
        return {name: origin + self._pixels * np.array([x, -y]) for name, (x, y) in joints.items()}


def find_joints(pose):
    """Return the joints of a person of height 1 above the origin: name to (x, y), y upwards."""
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
    """Return the end of a limb; ``angle`` in degrees from straight down."""
    return (start[0] + length * sin(radians(angle)), start[1] - length * cos(radians(angle)))


def draw_person(frame, joints, height, color):
    """Draw a person of ``height`` pixels; the trousers are a shade darker than the shirt."""
    shade = tuple(int(0.75 * value) for value in color)

    def limb(start, end, thickness, paint):
        ends = [tuple(map(round, map(float, joints[joint]))) for joint in (start, end)]
        cv2.line(frame, *ends, paint, max(1, round(thickness * height)), cv2.LINE_AA)

    for side in (0, 1):
        limb("hip", f"knee{side}", 0.15, shade)
        limb(f"knee{side}", f"foot{side}", 0.13, shade)
    limb("hip", "neck", SHIRT, color)
    for side in (0, 1):
        limb("neck", f"hand{side}", 0.12, color)
        limb(f"hand{side}", f"hand{side}", 0.1, SKIN)
    limb("head", "head", HEAD, SKIN)  # a line from a point to itself is drawn as a disc


def draw_background(rng, width, height):
    """Draw a gray, still wall and floor, independent of the action: (H, W, 3) uint8."""
    coarse = rng.uniform(105, 150, (5, 6, 1)) + rng.uniform(-6, 6, (5, 6, 3))
    wall = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    wall[round(0.85 * height) :] *= 0.7
    return np.clip(wall + rng.normal(0, 4, (height, width, 1)), 0, 255).astype(np.uint8)
