// Command guards proves that the tests of the threat catalogue can fail. Its
// table names, for each row that blocks a release and a few more, the checks that hold the row's
// rule and for each check the test that must notice when it is gone. The command
// takes out one check after the other, in a scratch copy of its file that the
// compiler reads in the place of the file, and runs the test: it must compile and
// fail by an assertion. A test that still passes asserts nothing of the rule; one
// that ends by a panic or runs out of time proves nothing either, nor does one that
// fails with its guard in place, which is asked first.
//
//	go run ./deploy/testbed/guards              all of them, some minutes
//	go run ./deploy/testbed/guards -only X07    those of one row, or of several: X07,T03
//	go run ./deploy/testbed/guards -for 60s     as many as that time allows (CI)
//	go run ./deploy/testbed/guards -list        what the table holds
//
// SALLYPORT_VECTORS names the folder of foreign test vectors, without which the
// tests that read them are left out.
//
// With -for it begins with the guards whose file or test the last commit (or the
// working tree) changed and goes on in the table from a place that moves with each
// commit by the golden ratio: a few runs of a part come round to the whole. The same
// commit has the same order; the turn that is printed repeats it elsewhere with -turn.
//
// It exits with 1 when a test passes without its guard, when a guard has moved, or
// when a row has neither a guard nor a written reason why it has none. Tests that
// need the lab are left out, aloud, where it is missing; deploy/testbed/run has it.
//
// The table goes stale where nobody looks, so this package's own test holds each
// entry to the tree on every commit: the check stands exactly once in its function,
// and the named test exists. It compiles nothing and takes no second.
//
// A guard is taken out by an edit as small as compiles: the check goes, not the
// function around it. No switch or build tag of the product can do the same, and
// the working tree is never written to.
package main
