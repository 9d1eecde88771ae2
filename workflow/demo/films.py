"""The demo's films; `ava: films` of config/demo.yaml lists them, too."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Film:
    """One film. The suffix determines container and codecs; YouTube's films have one of these rates, and any size."""

    name: str
    split: str  # "train" or "val"
    rate: str  # frames per second, exact
    width: int
    height: int
    first_timestamp: float = 0.0  # s
    unannotated: int | None = None  # a key second without ground truth, in which people are detected all the same

    @property
    def video(self):
        """Name of the video: the file name without its suffix."""
        return Path(self.name).stem


FILMS = (
    Film("-ParkBench7.mkv", "train", "24000/1001", 176, 144),
    Film("CornerCafe3.mp4", "train", "25", 160, 120),
    Film("DanceHall_2.webm", "train", "30", 160, 120),
    Film("OldKitchen5.mkv", "train", "30000/1001", 160, 128, first_timestamp=1.4),
    Film("SchoolYard8.mkv", "train", "25", 128, 160),  # narrower than high
    Film("_TrainStop1.mp4", "train", "24000/1001", 192, 144),
    Film("-NightShop4.mkv", "val", "24000/1001", 160, 128, unannotated=7),
    Film("LivingRoom6.mp4", "val", "30", 176, 144),
    Film("RoofTop--09.webm", "val", "25", 144, 120),
    Film("StreetView0.mkv", "val", "30000/1001", 160, 120, unannotated=10),
    Film("ArtGallery4.mp4", "val", "25", 160, 128),
    Film("BusDepot_12.mkv", "val", "24000/1001", 176, 144, unannotated=12),
    Film("FarmMarket9.mp4", "val", "30", 128, 160),
    Film("HotelLobby3.webm", "val", "25", 160, 120),
)
