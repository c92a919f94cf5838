// Replaces the words of Swagger UI, which has English ones only, wherever it writes them.
const words = JSON.parse(document.getElementById("words")?.textContent ?? "{}");
const replace = (node) => {
  const text = node.nodeValue.trim();
  if (text in words && words[text] !== text) node.nodeValue = node.nodeValue.replace(text, words[text]);
};
const walk = (root) => {
  if (root.nodeType === Node.TEXT_NODE) return replace(root);
  if (root.nodeType !== Node.ELEMENT_NODE || root.closest("pre, code, textarea, option, .opblock-summary-path")) return;
  const nodes = document.createTreeWalker(root, NodeFilter.SHOW_TEXT, (node) =>
    node.parentElement.closest("pre, code, textarea, option, .opblock-summary-path") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
  while (nodes.nextNode()) replace(nodes.currentNode);
};
if (Object.keys(words).length) {
  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === "characterData") walk(change.target);
      else change.addedNodes.forEach(walk);
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
  walk(document.body);
}
