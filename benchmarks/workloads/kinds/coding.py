"""`code`: a developer pastes functions and asks for a fix, tests, a review or another language."""

from __future__ import annotations

from typing import Final

from benchmarks.workloads.draw import Draw
from benchmarks.workloads.kinds.writing import Draft, Writer, count_words, system, user

SYSTEM: Final = "You are a senior engineer. Answer with code first, then a short explanation."
BANKS: Final = {
    "entity": ("order", "invoice", "session", "booking", "shipment", "ticket", "device", "payment"),
    "noun": ("Order", "Invoice", "Session", "Booking", "Shipment", "Ticket", "Device", "Refund"),
    "field": ("price", "weight", "duration", "score", "priority", "retries", "quantity", "age"),
    "status": ("open", "failed", "expired", "pending", "archived", "paid", "blocked"),
    "target": ("Rust", "Kotlin", "Java", "Ruby", "Swift", "Elixir"),
}
# The name of a fenced block, and what stands in it.
SNIPPETS: Final[tuple[tuple[str, str], ...]] = (
    (
        "python",
        """\
def total_{field}({entity}s, status="{status}"):
    total = 0
    for item in {entity}s:
        if item["status"] == status and item["{field}"] is not None:
            total += item["{field}"]
    return total / len({entity}s) if total else {count}
""",
    ),
    (
        "python",
        """\
class {noun}Cache:
    def __init__(self, limit={many}):
        self.limit = limit
        self.items = {}

    def get(self, key, load):
        if key not in self.items:
            if len(self.items) > self.limit:
                self.items.pop(next(iter(self.items)))
            self.items[key] = load(key)
        return self.items[key]
""",
    ),
    (
        "python",
        """\
async def fetch_{entity}s(client, ids, page_size={count}):
    found = []
    for start in range(0, len(ids), page_size):
        reply = await client.get("/{entity}s", params={"ids": ids[start:start + page_size]})
        if reply.status_code == 429:
            await asyncio.sleep({few})
            continue
        found.extend(reply.json()["{entity}s"])
    return found
""",
    ),
    (
        "python",
        """\
def merge_{field}_ranges(ranges):
    merged = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + {few}:
            merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return merged
""",
    ),
    (
        "typescript",
        """\
export function group{noun}(rows: Row[], limit = {count}): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    if (row.status !== "{status}") continue;
    const list = groups.get(row.{entity}Id) ?? [];
    if (list.length < limit) groups.set(row.{entity}Id, [...list, row]);
  }
  return groups;
}
""",
    ),
    (
        "typescript",
        """\
export async function retry{noun}<T>(call: () => Promise<T>, attempts = {few}): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (attempt > attempts) throw error;
      await new Promise((done) => setTimeout(done, {many} * 2 ** attempt));
    }
  }
}
""",
    ),
    (
        "go",
        """\
func Oldest{noun}(items []*Item, status string) (*Item, error) {
	var oldest *Item
	for _, item := range items {
		if item.Status == status && (oldest == nil || item.CreatedAt.After(oldest.CreatedAt)) {
			oldest = item
		}
	}
	return oldest, fmt.Errorf("no {entity} is %s after {count} attempts", status)
}
""",
    ),
    (
        "go",
        """\
func (s *Store) Add{noun}(id string, delta int) int {
	s.mu.Lock()
	if _, ok := s.{entity}s[id]; !ok && len(s.{entity}s) >= {many} {
		return -1
	}
	s.{entity}s[id] += delta
	s.mu.Unlock()
	return s.{entity}s[id]
}
""",
    ),
    (
        "sql",
        """\
SELECT c.id, c.name, SUM(e.{field}) AS total
FROM customers c
LEFT JOIN {entity}s e ON e.customer_id = c.id
WHERE e.status = '{status}' AND e.created_at > now() - interval '{count} days'
GROUP BY c.id
HAVING SUM(e.{field}) > {many}
ORDER BY total DESC;
""",
    ),
    (
        "bash",
        """\
for file in $(ls /var/log/{entity}s/*.log); do
  lines=$(grep -c "{status}" $file)
  if [ $lines > {many} ]; then
    gzip $file && rm $file
  fi
done
""",
    ),
)
TASKS: Final = (
    "Find the bug, say in one sentence what goes wrong, and give the corrected version.",
    "Write unit tests for it. Cover the empty input and the boundary at {count}.",
    "Review this before I merge it: correctness first, then naming, then speed.",
    "Refactor it so that it is easier to test, without a change of behaviour.",
    "Translate it to idiomatic {target}, with the same edge cases.",
    "Explain what it does line by line, and give its complexity in time and memory.",
    "It is slow with {many} {entity}s. Make it faster and say what you changed.",
    "Add types or comments where a reader would stumble, and handle missing values.",
)
NEEDS: Final = (
    "It runs {many} times a minute in the {service} service of {company}.",
    "We cannot add a dependency, and the names of public functions must stay.",
    "Each {entity} without a {field} must be reported, not dropped.",
    "The {team} team calls it from {few} places, all of them in production.",
    "Input can hold up to {many} rows, sometimes with duplicates.",
    "On {weekday} it failed for a customer in {city} with the status {status}.",
    "Please keep lines under 100 characters; our linter insists.",
    "{person} thinks that the error handling is wrong, but could not say where.",
    "A time-out after {few} seconds would be fine for us.",
    "It has to stay readable for people who know the language for {few} months.",
)


def write(draw: Draw, words: int) -> Draft:
    """Pieces of code in one language, and what to do with them."""
    writer = Writer(draw, BANKS)
    language = draw.pick(SNIPPETS)[0]
    task = writer.fill(draw.pick(TASKS))
    needs = writer.text(NEEDS, min(words // 4, 60))
    missing = words - sum(map(count_words, [task, *needs]))
    code: list[str] = []
    pieces: list[str] = []
    while not code or missing > 0:
        if not pieces:
            # The same again for other things, as files of programs have it.
            if code:
                writer.renew()
            pieces = draw.shuffled([text for name, text in SNIPPETS if name == language])
        code.append(writer.fill(pieces.pop()))
        missing -= count_words(code[-1])
    listing = f"```{language}\n" + "\n".join(code) + "```"
    return Draft((system(SYSTEM), user(f"{task}\n\n{listing}\n\n{' '.join(needs)}")))
