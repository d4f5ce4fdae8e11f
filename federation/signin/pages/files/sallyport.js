// Enhancements only: every page does its work without this file.
"use strict";
(function () {
  function each(selector, f) { Array.prototype.forEach.call(document.querySelectorAll(selector), f); }
  function attr(e, name) { return e.getAttribute(name); }

  // Show or hide a password. It is a password field again before it is sent.
  each(".reveal", function (b) {
    var field = document.getElementById(attr(b, "aria-controls"));
    var off = [b.textContent, attr(b, "aria-label")], on = [attr(b, "data-on"), attr(b, "data-on-label")];
    function show(yes) {
      field.type = yes ? "text" : "password";
      b.textContent = (yes ? on : off)[0];
      b.setAttribute("aria-label", (yes ? on : off)[1]);
    }
    b.hidden = false;
    b.parentNode.classList.add("can-reveal");
    b.addEventListener("click", function () { show(field.type === "password"); });
    field.form.addEventListener("submit", function () { show(false); });
  });

  // Caps Lock: the note is a live region and empty until there is something to say.
  each("[data-caps]", function (note) {
    document.getElementById(attr(note, "data-caps")).addEventListener("keyup", function (e) {
      var text = e.getModifierState && e.getModifierState("CapsLock") ? attr(note, "data-text") : "";
      if (note.textContent !== text) note.textContent = text;
    });
  });

  // One form, one submission; a page out of the back-forward cache starts afresh.
  each("form", function (f) {
    f.addEventListener("submit", function (e) {
      if (attr(f, "aria-busy") === "true") e.preventDefault();
      f.setAttribute("aria-busy", "true");
    });
  });
  window.addEventListener("pageshow", function (e) {
    if (e.persisted) each("form", function (f) { f.removeAttribute("aria-busy"); });
  });

  // Reload and back never send a form again: a password that was refused would
  // count once more.
  if (history.replaceState) history.replaceState(null, "", location.href);

  // Hand the token over once; who comes back to the page goes on by hand, and the
  // bar, which speaks of something under way, is gone.
  each("form[data-autopost]", function (f) {
    var late = f.querySelector(".late"), bar = f.querySelector(".progress");
    function onItsWay(yes) { bar.hidden = !yes; late.hidden = yes; }
    window.addEventListener("pageshow", function (e) { if (e.persisted) onItsWay(false); });
    var visit = window.performance && performance.getEntriesByType && performance.getEntriesByType("navigation")[0];
    if (visit && visit.type === "back_forward") return;
    onItsWay(true);
    setTimeout(function () { late.hidden = false; }, 4000);
    HTMLFormElement.prototype.submit.call(f);
  });

  // After sign-out go on once the other services have answered, at most 3 s later.
  each("[data-next]", function (e) {
    var gone = false;
    function go() {
      if (gone) return;
      gone = true;
      if (e.href) location.replace(e.href); else HTMLFormElement.prototype.submit.call(e);
    }
    window.addEventListener("load", go);
    setTimeout(go, 3000);
  });
})();
