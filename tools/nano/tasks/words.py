"""Words, names and numbers: drawn from one of two sets that share no value.

A value belongs to the held-out set if a checksum of it says so. Training draws from the one
set, evaluation from the other, so nothing has to be remembered to keep them apart.
"""

import random
import string
import zlib
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

HELD_OUT_SHARE: Final = 8
"""One value in this many is held out."""

NOUNS: Final = tuple(
    """
    account album alert anchor animal apple archive arrow article asset bag ball bank basket
    battery beach bed bell belt bike bill bird blanket block boat body bone book boot bottle bowl
    box branch bread brick bridge brush bucket budget building bus button cabin cable cake camera
    candle canvas car card carpet cart castle cat chain chair chart cheese church circle clock cloud
    coat coffee coin comb contact contract copper corner course cover cow crane cup curtain customer
    dance deck deer desk device dinner dish doctor document dog door dragon drawer dress driver
    drum duck eagle engine error event factory farm feather fence field file film finger fire fish
    flag flame flight floor flower folder forest fork fountain fox frame friend frog game garden
    gate ghost gift glass glove goat gold grape grass guest guitar hall hammer hand harbor hat
    heart helmet hero hill holiday honey hook horse hotel house icon image insect invoice iron
    island issue jacket jar jewel job journey judge juice jungle kettle key kitchen kite knife
    ladder lake lamp laptop leaf lemon lesson letter library light lion lock lunch magnet
    mail map market mask match meal medal meeting menu message metal milk mirror money moon
    mountain mouse movie museum music nail needle nest network note novel nurse ocean office onion
    orange order oven owl package page paint palace paper parcel park party path payment pen pencil
    photo piano picture pie pilot pillow pipe planet plant plate player pocket poem police pond post
    potato price printer prize profile project puzzle queen quest rabbit radio rain recipe record
    report rice ring river road robot rocket roof room rope rose route sail salad salt sand school
    score screen seat seed shelf ship shirt shoe shop signal silver singer skirt sky snow
    soap sock song soup spoon spring stamp star station stone storm story street student sugar suit
    summer sun sword table tailor task tax teacher team tent test ticket tiger tool towel tower town
    toy train treasure tree truck tunnel turtle umbrella uncle valley vase vehicle video village
    violin visit voice wagon wall watch water wave wheel whistle window wine winter wolf wood worker
    yard zebra
    """.split()
)

PLACES: Final = tuple(
    """
    Paris London Berlin Madrid Rome Vienna Lisbon Prague Dublin Oslo Athens Warsaw Budapest Helsinki
    Stockholm Brussels Amsterdam Zurich Geneva Munich Hamburg Cologne Milan Turin Naples Venice
    Florence Lyon Nice Bordeaux Toulouse Seville Valencia Porto Krakow Riga Tallinn Vilnius Sofia
    Bucharest Belgrade Zagreb Kyiv Istanbul Ankara Cairo Tunis Lagos Nairobi Accra Tokyo Osaka Kyoto
    Seoul Beijing Shanghai Delhi Mumbai Jakarta Manila Bangkok Hanoi Sydney Melbourne Perth Auckland
    Boston Chicago Denver Dallas Houston Miami Seattle Portland Austin Toronto Montreal Vancouver
    Havana Lima Quito Bogota Santiago Caracas
    """.split()
)

PEOPLE: Final = tuple(
    """
    Anna Ben Carla David Emma Felix Greta Hugo Iris Jonas Klara Leo Maria Nina Oscar Paula Robert
    Sara Tom Ursula Victor Wendy Xavier Yara Zoe Alice Bob Charles Diana Erik Fiona George Hannah
    Ivan Julia Kevin Laura Martin Nora Oliver Peter Rita Simon Thomas Vera William Adam Bella Chris
    Daniel Ella Frank Gina Henry Ines Jack Kate Lucas Mia Noah Olga Philip Rosa Stefan Tina Ada
    """.split()
)

_CONSONANTS: Final = "bcdfghjklmnprstvwxz"
_VOWELS: Final = "aeiou"
_ENDINGS: Final = "lmnrst"


def held_out(value: object) -> bool:
    """Say whether a value may occur in evaluation only."""
    return zlib.crc32(str(value).lower().encode()) % HELD_OUT_SHARE == 0


class Words:
    """Draws values of one of the two sets.

    Args:
        seed: the same seed gives the same values.
        evaluation: draw from the held-out set.
    """

    def __init__(self, seed: int | str, *, evaluation: bool = False) -> None:
        self.random = random.Random(seed)
        self.evaluation = evaluation

    def allowed(self, value: object) -> bool:
        """Say whether a value belongs to the set that is drawn from."""
        return held_out(value) == self.evaluation

    def pick(self, choices: Sequence[T]) -> T:
        """Draw one of a sequence."""
        return self.random.choice(choices)

    def chance(self, probability: float) -> bool:
        """Return true with a probability."""
        return self.random.random() < probability

    def of(self, choices: Sequence[str]) -> str:
        """Draw one of the words that belong to the set."""
        while True:
            word = self.random.choice(choices)
            if self.allowed(word):
                return word

    def invented(self) -> str:
        """Draw a word that nobody knows, of 3 to 9 letters."""
        draw = self.random
        while True:
            if draw.random() < 0.7:
                word = "".join(
                    draw.choice(_CONSONANTS) + draw.choice(_VOWELS)
                    + (draw.choice(_ENDINGS) if draw.random() < 0.25 else "")
                    for _ in range(draw.choice((2, 2, 2, 3)))
                )  # fmt: skip
            else:
                word = "".join(draw.choices(string.ascii_lowercase, k=draw.randint(3, 6)))
            if self.allowed(word):
                return word

    def letters(self) -> str:
        """Draw 2 to 6 letters, or a syllable and more: any letter may begin it, as often."""
        while True:
            word = "".join(self.random.choices(string.ascii_lowercase, k=self.random.randint(2, 6)))
            if self.chance(0.5):
                word = word[0] + self.random.choice(_VOWELS) + word[1:]
            if self.allowed(word):
                return word

    def noun(self) -> str:
        """Draw a thing's name: half of them real."""
        return self.of(NOUNS) if self.chance(0.5) else self.invented()

    def name(self) -> str:
        """Draw a capitalised name of a person or a place: half of them real."""
        if self.chance(0.5):
            return self.of(PEOPLE if self.chance(0.5) else PLACES)
        return self._unknown_name()

    def place(self) -> str:
        """Draw a place's name."""
        return self.of(PLACES) if self.chance(0.6) else self._unknown_name()

    def _unknown_name(self) -> str:
        """Draw a capitalised word that nobody knows; in training its first letter may be rare."""
        rare = not self.evaluation and self.chance(0.4)
        return (self.letters() if rare else self.invented()).capitalize()

    def integer(self, digits: int = 4) -> int:
        """Draw a whole number from 1, of up to `digits` digits, all lengths alike."""
        while True:
            number = self.random.randint(1, 10 ** self.random.randint(1, digits) - 1)
            if self.allowed(number):
                return number

    def decimal(self) -> float:
        """Draw a number with one or two digits behind the point, the last not 0."""
        while True:
            places = self.random.choice((1, 1, 2))
            number = round(self.random.uniform(0.1, self.random.choice((10, 100))), places)
            if number != int(number) and self.allowed(number):
                return number

    def nouns(self, count: int) -> list[str]:
        """Draw different things' names."""
        found: dict[str, None] = {}
        while len(found) < count:
            found[self.noun()] = None
        return list(found)
