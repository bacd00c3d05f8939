// Views are functions that describe the page with `h`; `render` changes the page until it is as described.
// All text goes in as text nodes and plain attributes: nothing is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
const described = new WeakMap();

/** An element: attributes, `on` (handlers by event), `style` (properties), `key`, `created(node)`. */
export function h(tag, props, ...children) {
  return { tag, props: props ?? {}, children: children.flat(Infinity).filter(isShown) };
}

/** `make()` is only called again when one of `inputs` has changed. */
export function memo(key, inputs, make) {
  return { props: { key }, inputs, make };
}

/** Make the children of a node as described; keyed ones keep their node, and so focus and scroll. */
export function render(parent, children) {
  const created = [];
  patchChildren(parent, [children].flat(Infinity).filter(isShown), created);
  for (const [run, node] of created) run(node);
}

function isShown(child) {
  return child !== null && child !== undefined && child !== false && child !== "";
}

function patchChildren(parent, children, created) {
  const known = new Map();
  const loose = [];
  for (const node of parent.childNodes) {
    const key = described.get(node)?.props?.key;
    if (key === undefined) loose.push(node);
    else known.set(key, node);
  }
  const nodes = children.map((child) => take(child, known, loose));
  // What is left goes first, so that what stays need not be moved.
  for (const node of [...known.values(), ...loose]) node.remove();
  let next = parent.firstChild;
  children.forEach((child, at) => {
    const node = patch(nodes[at], child, parent, created);
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
  });
}

function take(child, known, loose) {
  const key = child.props?.key;
  if (key !== undefined) {
    const node = known.get(key);
    known.delete(key);
    return node;
  }
  const at = loose.findIndex((node) => fits(node, child));
  return at < 0 ? undefined : loose.splice(at, 1)[0];
}

function fits(node, child) {
  const tag = described.get(node)?.tag;
  return child.tag === undefined
    ? tag === undefined && node.nodeType === Node.TEXT_NODE
    : tag === child.tag;
}

function patch(node, child, parent, created) {
  if (child.props === undefined) return patchText(node, String(child));
  const before = node && described.get(node);
  if (child.inputs) {
    if (before?.inputs && same(before.inputs, child.inputs)) return node;
    const made = child.make();
    const props = { ...made.props, key: child.props.key };
    return patchElement(node, { ...made, props }, parent, created, child.inputs);
  }
  return patchElement(node, child, parent, created);
}

function patchElement(node, child, parent, created, inputs) {
  const before = node && described.get(node);
  const fresh = !node || before?.tag !== child.tag;
  const element = fresh ? create(child.tag, parent) : node;
  if (fresh && node) node.remove();
  patchProps(element, fresh ? {} : before.props, child.props);
  patchChildren(element, child.children, created);
  described.set(element, { tag: child.tag, props: child.props, inputs });
  if (fresh && child.props.created) created.push([child.props.created, element]);
  return element;
}

function same(before, after) {
  return before.length === after.length && before.every((value, at) => Object.is(value, after[at]));
}

function patchText(node, text) {
  if (!node) return document.createTextNode(text);
  if (node.data !== text) node.data = text;
  return node;
}

function create(tag, parent) {
  const inSvg = tag === "svg" || parent.namespaceURI === SVG;
  return inSvg ? document.createElementNS(SVG, tag) : document.createElement(tag);
}

function patchProps(element, before, after) {
  for (const name of Object.keys(before))
    if (!(name in after)) setProp(element, name, undefined, before[name]);
  for (const [name, value] of Object.entries(after)) {
    if (value !== before[name] || name === "value" || name === "checked")
      setProp(element, name, value, before[name]);
  }
}

function setProp(element, name, value, before) {
  if (name === "key" || name === "created") return;
  if (name === "on") return setHandlers(element, value ?? {});
  if (name === "style") return setStyle(element, value ?? {}, before ?? {});
  // What somebody is typing is theirs.
  if (name === "value") return void (document.activeElement !== element && (element.value = value ?? ""));
  if (name === "checked") return void (element.checked = Boolean(value));
  if (value === undefined || value === null || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

const handlers = new WeakMap();

function setHandlers(element, wanted) {
  const known = handlers.get(element) ?? {};
  for (const type of Object.keys(wanted)) if (!(type in known)) element.addEventListener(type, dispatch);
  // A type that is no longer wanted keeps its listener, which then finds nothing to call.
  handlers.set(element, {
    ...Object.fromEntries(Object.keys(known).map((type) => [type, undefined])),
    ...wanted,
  });
}

function dispatch(event) {
  handlers.get(event.currentTarget)[event.type]?.(event);
}

function setStyle(element, wanted, before) {
  for (const name of Object.keys(before)) if (!(name in wanted)) element.style.removeProperty(name);
  for (const [name, value] of Object.entries(wanted)) {
    if (value !== before[name]) element.style.setProperty(name, value);
  }
}
