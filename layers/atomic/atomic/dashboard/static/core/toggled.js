// Sets that are not changed, as the state of a component.

/** The set with this member added, or taken out. */
export function toggled(set, member) {
  const other = new Set(set);
  if (!other.delete(member)) other.add(member);
  return other;
}
