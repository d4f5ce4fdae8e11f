// Package app is the whole service as one value: New builds every part from the
// settings, Start opens the listeners, Reload changes what may change while
// people sign in, Stop ends it without losing a running sign-in. It is the only
// place that knows all parts; none of them knows another but through the small
// interfaces that it declares itself.
//
// Order matters twice. At start the directory, the session store and the key
// come before the public listener, and a directory or Redis that is down does
// not stop the start: sign-in must come back by itself. At stop readiness goes
// first, then the listener, then what running requests still need.
package app
