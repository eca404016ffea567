"""Values as people write them: names, dates, times, paths, prices, whole sentences.

A value stands in a request as it stands in the call, but for whole numbers that are said in words.
Half of the names and things are invented, so that they can only be copied.
"""

from collections.abc import Callable, Sequence
from typing import Final

from tools.nano.tasks.words import PEOPLE, PLACES, Words
from tools.nano.world import bank

COUNTRIES: Final = tuple(
    """
    France Germany Spain Italy Portugal Norway Sweden Finland Denmark Poland Austria Greece Turkey
    Egypt Kenya Nigeria Ghana Morocco India China Japan Brazil Chile Peru Mexico Canada Australia
    Iceland Ireland Belgium Vietnam Thailand Indonesia Argentina Colombia Ukraine Romania Hungary
    """.split()
)
LANGUAGES: Final = tuple(
    """
    English French German Spanish Italian Portuguese Dutch Swedish Polish Turkish Greek Arabic Hindi
    Japanese Chinese Korean Russian Finnish Czech Swahili Welsh Basque Thai Vietnamese Hebrew
    """.split()
)
CURRENCIES: Final = tuple(
    """
    USD EUR GBP JPY CHF SEK NOK PLN INR BRL CAD AUD dollars euros pounds yen francs kronor rupees
    pesos zloty lira
    """.split()
)
UNITS: Final = tuple(
    """
    km miles meters feet inches cm mm kg pounds grams ounces liters gallons cups celsius fahrenheit
    kelvin hours minutes seconds days MB GB bytes watts joules calories
    """.split()
)
COLORS: Final = tuple(
    """
    red blue green yellow purple orange white black pink teal grey brown turquoise navy crimson gold
    silver violet beige
    """.split()
)
FOODS: Final = tuple(
    """
    pizza pasta sushi tacos ramen curry salad risotto lasagna burgers soup bread cheese rice beans
    lentils tofu salmon chicken omelette pancakes dumplings paella hummus falafel noodles apples
    bananas tomatoes onions garlic milk butter eggs flour yoghurt chocolate
    """.split()
)
ANIMALS: Final = tuple(
    """
    dog cat horse rabbit parrot hamster turtle goat sheep cow lion tiger bear wolf fox owl eagle
    penguin dolphin whale zebra giraffe donkey lizard
    """.split()
)
ADJECTIVES: Final = tuple(
    """
    big small old new red quiet bright dark cold warm happy urgent final early late simple broken
    clean fresh golden green heavy hidden lucky open silent silver soft strange sweet wild wooden
    young blue free local annual weekly secret lost empty
    """.split()
)
WEEKDAYS: Final = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
MONTHS: Final = tuple(
    """
    January February March April May June July August September October November December
    """.split()
)
TOPICS: Final = tuple(
    """
    politics sports science art history economics climate health music education football
    astronomy philosophy gardening robotics biology chess travel fashion cooking
    """.split()
)
SPORTS: Final = tuple(
    """
    football tennis basketball volleyball hockey cricket rugby swimming running cycling rowing
    boxing badminton golf handball yoga
    """.split()
)
PRODUCTS: Final = tuple(
    """
    laptop phone headphones keyboard monitor camera printer tablet backpack jacket sneakers lamp
    desk chair kettle blender toaster drill charger speaker
    """.split()
)
EXTENSIONS: Final = "txt pdf md csv json py log yaml jpg png docx xlsx zip mp3 sh toml html".split()
STREETS: Final = (
    "{n} {w} Street", "{n} {w} Road", "{n} {w} Avenue", "{w} Street {n}", "{w}straat {n}",
    "{w}strasse {n}", "{n} rue {w}", "{n} {w} Lane", "{w} Square {n}", "Calle {w} {n}",
    "{n} {w} Street, {c}", "{w}weg {n}, {c}",
)  # fmt: skip
SMALL: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
TENS: Final = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_word(number: int) -> str:
    """Write a whole number below 1000 in words; others in digits."""
    if number < 0 or number > 999:
        return str(number)
    if number < 20:
        return SMALL[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens] + (f"-{SMALL[ones]}" if ones else "")
    hundreds, rest = divmod(number, 100)
    return f"{SMALL[hundreds]} hundred" + (f" and {number_word(rest)}" if rest else "")


class Values:
    """Draws values of the kinds that scenes name.

    Args:
        words: what draws, and keeps training and evaluation apart.
    """

    def __init__(self, words: Words) -> None:
        self.words = words
        self._kinds: dict[str, Callable[[], str]] = {
            "person": self.person, "first_name": self.first_name, "city": self.city,
            "country": lambda: self._of(COUNTRIES), "business": self.business, "noun": self.thing,
            "nouns": self.things, "adjective": lambda: self._of(ADJECTIVES), "words": self.phrase,
            "sentence": self.sentence, "title": self.title, "date": self.date,
            "weekday": lambda: words.pick(WEEKDAYS), "time": self.time, "email": self.email,
            "url": self.url, "path": self.path, "filename": self.filename, "code": self.code,
            "phone": self.phone, "language": lambda: self._of(LANGUAGES),
            "currency": lambda: self._of(CURRENCIES), "unit": lambda: self._of(UNITS),
            "color": lambda: self._of(COLORS), "food": lambda: self._of(FOODS),
            "animal": lambda: self._of(ANIMALS), "address": self.address,
            "username": self.username, "version": self.version,
            "month": lambda: words.pick(MONTHS), "topic": lambda: self._of(TOPICS),
            "sport": lambda: self._of(SPORTS), "product": lambda: self._of(PRODUCTS),
            "price": self.price, "percent": lambda: str(words.random.randint(1, 100)),
            "count": lambda: str(words.random.randint(1, 20)), "integer": lambda: str(self.whole()),
            "decimal": lambda: str(words.decimal()),
        }  # fmt: skip

    def text(self, of: str, examples: Sequence[str] = ()) -> str:
        """Draw a string of a kind; of its examples as well, where it has some."""
        only = of == "example"
        if examples and self.words.chance(0.6 if only else 0.4):
            return str(self.words.pick(list(examples)))
        if only:
            return self.words.pick((self.thing, self.phrase, self.code, self.first_name))()
        if self.words.chance(0.03):
            return self.expression()
        if self.words.chance(0.06):
            return self.words.pick((self.thing, self.title, self.first_name, self.phrase))()
        return self._kinds.get(of, self.thing)()

    def whole(self) -> int:
        """Draw a whole number: small ones, round ones, any."""
        draw = self.words.random.random()
        if draw < 0.04:
            return -self.words.random.randint(1, 40)
        if draw < 0.35:
            return self.words.random.randint(1, 30)
        if draw < 0.6:
            return self.words.random.randint(1, 40) * self.words.pick((5, 10, 50, 100))
        return self.words.integer(5)

    def _of(self, choices: Sequence[str]) -> str:
        """Draw one of a list; now and then a word that is in none."""
        return self.words.pick(choices) if self.words.chance(0.85) else self.words.invented()

    def thing(self) -> str:
        """Draw a thing's name: real, invented, or any word of the bank."""
        draw = self.words.random.random()
        if draw < 0.3:
            return self.words.pick(bank.vocabulary())
        return self.words.noun()

    def things(self) -> str:
        """Draw things in the plural."""
        return f"{self.words.noun()}s"

    def capital(self) -> str:
        """Draw a word with a capital."""
        return self.words.name() if self.words.chance(0.7) else self.thing().capitalize()

    def first_name(self) -> str:
        """Draw a first name; now and then with letters that English lacks."""
        name = self.words.of(PEOPLE) if self.words.chance(0.4) else self.words.name()
        return self._accented(name) if self.words.chance(0.2) else name

    def _accented(self, word: str) -> str:
        for plain in self.words.random.sample("aeioucnsu", 3):
            if plain in word[1:]:
                accent = dict(zip("aeioucns", "áéíøüçñş", strict=True))[plain]
                place = word.index(plain, 1)
                return word[:place] + accent + word[place + 1 :]
        return word

    def person(self) -> str:
        """Draw a person: one name or two, or a doctor."""
        name = self.first_name()
        draw = self.words.random.random()
        if draw < 0.5:
            return f"{name} {self.capital()}"
        if draw < 0.6:
            return self.words.pick(("Dr. {}", "Dr {}", "Mrs {}", "Mr. {}", "Prof. {}")).format(name)
        return name

    def city(self) -> str:
        """Draw a place: of one word, or of two."""
        draw = self.words.random.random()
        if draw < 0.15:
            lead = self.words.pick(("New", "San", "Port", "Saint", "Bad", "Los", "El", "North"))
            return f"{lead} {self.capital()}"
        place = self.words.of(PLACES) if draw < 0.6 else self.words.place()
        return self._accented(place) if self.words.chance(0.2) else place

    def business(self) -> str:
        """Draw a restaurant's, a shop's or a company's name."""
        name, other = self.capital(), self.words.noun().capitalize()
        adjective = self.words.pick(ADJECTIVES).capitalize()
        return self.words.pick(
            (f"{name}'s", name, f"The {adjective} {other}", f"{name} {other}", f"{name} & Sons",
             f"{name} and {other}", f"Café {name}", f"{other} House", f"La {name}", f"{name} Ltd",
             f"Chez {name}", f"the {other} Inn", f"{name}'s {other}", f"{name} {self.capital()}")
        )  # fmt: skip

    def phrase(self) -> str:
        """Draw two to five words of free text."""
        pick, things = self.words.pick, bank.vocabulary()
        noun, other = self.thing(), self.words.noun()
        return pick(
            (f"{pick(ADJECTIVES)} {noun}", f"{noun} {other}", f"{noun} of {other}",
             f"{pick(ADJECTIVES)} {noun} {other}", f"{noun} for {self.first_name()}",
             f"{noun} and {other}", f"{pick(things)} {pick(things)}", f"buy {noun}",
             f"call {self.first_name()}", f"{noun} {self.whole()}", f"the {noun}",
             f"{pick(things)} the {noun}", f"{noun} in {self.city()}", f"{noun} with {other}",
             f"{pick(things)} {noun} {pick(things)} {other}")
        )  # fmt: skip

    def sentence(self) -> str:
        """Draw a sentence as somebody says it, without the stop at its end."""
        if self.words.chance(0.6):
            said = self.words.pick(bank.lines("remarks", "thanks", "goodbye", "howareyou"))
            return said.rstrip(".!? ").replace("\n", " ") or "hello"
        noun, other = self.thing(), self.words.noun()
        return self.words.pick(
            (f"the {noun} is {self.words.pick(ADJECTIVES)}", f"I'll bring the {noun}",
             f"please send the {noun} to {self.first_name()}", f"running late, {noun} first",
             f"meet me at the {noun} at {self.time()}", f"we need {self.whole()} more {noun}s",
             f"{noun} and {other} are ready", f"{self.first_name()} broke the {noun}",
             f"Don't forget the {noun}", f"No {noun} today", f"see you in {self.city()}")
        )  # fmt: skip

    def expression(self) -> str:
        """Draw a query, a filter, a command or a formula: signs that prose has not."""
        one, two = self.thing(), self.thing()
        number = self.whole()
        select = "SELECT {} FROM {}".format
        return self.words.pick(
            (select(one, two), f"{select('*', one)} WHERE {two} = {number}",
             f"{one} eq '{two}'", f"{one} == {number}", f"{one}:{two}", f"ls -la /{one}",
             f"git {one} --{two}", f"{one} AND {two}", f"{one} > {number}", f"#{one}",
             f"{one}*", f"^{one}.*{two}$", f"{one}/{two}@{number}", f"{one} | {two}",
             f"{number}%{one}", f"{one}=({two})", f"{one}[{number}]", f"{one}+{two}")
        )  # fmt: skip

    def title(self) -> str:
        """Draw the title of a book, a song or a film."""
        name, other = self.thing().capitalize(), self.words.noun().capitalize()
        pick = self.words.pick
        adjective = pick(ADJECTIVES).capitalize()
        return pick(
            (f"The {adjective} {name}", f"{name}", f"{name} and {other}", f"The {name}",
             f"{adjective} {name}", f"{name} of the {other}", f"{name} in {self.city()}",
             f"My {adjective} {name}", f"{pick(bank.vocabulary()).capitalize()} {name}",
             f"{name} {self.words.random.randint(2, 99)}")
        )  # fmt: skip

    def date(self) -> str:
        """Draw a date in one of the forms that people write."""
        draw = self.words.random
        day, month, year = draw.randint(1, 28), draw.randint(1, 12), draw.randint(1990, 2035)
        name = MONTHS[month - 1]
        ending = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}.get(day, "th")
        iso = f"{year}-{month:02}-{day:02}"
        return self.words.pick(
            (iso, iso, iso, f"{day} {name}", f"{name} {day}", f"{name} {day}{ending}",
             f"{day:02}/{month:02}/{year}", f"{day}.{month}.{year}", f"{name} {day}, {year}",
             f"{day} {name} {year}", "tomorrow", "today", f"next {self.words.pick(WEEKDAYS)}",
             f"the {day}{ending} of {name}", self.words.pick(WEEKDAYS))
        )  # fmt: skip

    def time(self) -> str:
        """Draw a time of day."""
        draw = self.words.random
        hour, minute = draw.randint(0, 23), draw.choice((0, 0, 5, 15, 30, 30, 45, 59))
        part = self.words.pick(("am", "pm", " am", " pm"))
        clock = f"{hour:02}:{minute:02}"
        return self.words.pick(
            (clock, clock, f"{hour}:{minute:02}", f"{hour % 12 + 1}{part}",
             f"{hour % 12 + 1}:{minute:02}{part}", "noon", f"{hour % 12 + 1} o'clock")
        )  # fmt: skip

    def username(self) -> str:
        """Draw a user's name."""
        first, second = self.thing(), self.words.invented()
        return self.words.pick(
            (first, second, f"{first}.{second}", f"{second}{self.words.random.randint(1, 99)}",
             f"{first}_{second}", f"@{second}", f"{first}-{second}")
        )  # fmt: skip

    def email(self) -> str:
        """Draw an e-mail address."""
        host = self.words.pick((self.words.invented(), "example", "mail", self.words.noun()))
        ending = self.words.pick(("com", "org", "net", "io", "de", "co.uk", "fr", "example"))
        return f"{self.username().lstrip('@').lower()}@{host}.{ending}"

    def url(self) -> str:
        """Draw an address of the web."""
        host = self.words.pick((self.words.invented(), self.words.noun(), "example"))
        ending = self.words.pick(("com", "org", "io", "dev", "net"))
        tail = self.words.pick(
            ("", "", "/", f"/{self.thing()}", f"/{self.thing()}/{self.whole()}",
             f"/{self.thing()}.html", f"/api/v{self.words.random.randint(1, 4)}/{self.thing()}",
             f"?q={self.thing()}")
        )  # fmt: skip
        lead = self.words.pick(("https://", "https://", "http://", "https://www.", ""))
        return f"{lead}{host}.{ending}{tail}"

    def filename(self) -> str:
        """Draw a file's name."""
        stem = self.words.pick(
            (self.thing(), f"{self.thing()}_{self.thing()}", f"{self.thing()}-{self.whole()}",
             self.thing().capitalize(), f"{self.thing()}{self.words.random.randint(1, 99)}",
             f"{self.thing()}_v{self.words.random.randint(1, 9)}", self.thing().upper())
        )  # fmt: skip
        return f"{stem}.{self.words.pick(EXTENSIONS)}"

    def path(self) -> str:
        """Draw a path of a file or a folder."""
        parts = [self.thing() for _ in range(self.words.random.randint(1, 3))]
        lead = self.words.pick(
            ("/", "/", "./", "~/", "", "/home/", "/var/", "/etc/", "C:\\", "../")
        )
        last = self.words.pick((self.filename(), self.filename(), self.thing(), f"{self.thing()}/"))
        between = "\\" if lead == "C:\\" else "/"
        return lead + between.join([*parts, last])

    def code(self) -> str:
        """Draw an id such as AB-1234."""
        draw = self.words.random
        letters = "".join(draw.choices("ABCDEFGHKLMNPQRSTUVWXYZ", k=draw.randint(1, 3)))
        digits = "".join(draw.choices("0123456789", k=draw.randint(2, 6)))
        return self.words.pick(
            (f"{letters}-{digits}", f"{letters}{digits}", f"#{digits}", digits,
             f"{digits}-{letters}", f"{letters.lower()}-{digits}", f"{letters.lower()}{digits}",
             f"{letters}-{digits[:2]}-{digits[-2:]}", f"{self.thing()}-{digits[:2]}",
             f"{letters}_{digits}", f"{self.thing()}-{self.thing()}")
        )  # fmt: skip

    def phone(self) -> str:
        """Draw a telephone number."""
        digits = "".join(self.words.random.choices("0123456789", k=10))
        return self.words.pick(
            (f"+{digits[:2]} {digits[2:5]} {digits[5:]}", f"{digits[:3]}-{digits[3:7]}", digits,
             f"+{digits}", f"0{digits[:3]} {digits[3:9]}", f"555-{digits[:4]}")
        )  # fmt: skip

    def address(self) -> str:
        """Draw a postal address."""
        return self.words.pick(STREETS).format(
            n=self.words.random.randint(1, 250), w=self.capital(), c=self.city()
        )

    def version(self) -> str:
        """Draw a version."""
        draw = self.words.random
        numbers = f"{draw.randint(0, 20)}.{draw.randint(0, 30)}"
        return self.words.pick((numbers, f"{numbers}.{draw.randint(0, 9)}", f"v{numbers}"))

    def price(self) -> str:
        """Draw an amount of money, without its sign."""
        draw = self.words.random
        whole = draw.randint(1, 30) * draw.choice((1, 5, 10, 50))
        return self.words.pick((str(whole), str(whole), f"{whole}.{draw.randint(1, 9)}5"))
