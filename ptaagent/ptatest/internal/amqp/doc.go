// Package amqp reads and writes the frames of AMQP 1.0 (OASIS, 2012) that a
// server of the PTA relay needs: the type system, frame headers, protocol
// headers and the performatives. What a frame means is judged by its caller.
//
// Readers are strict and bounded: sizes inside the frame, depth, number of
// values, UTF-8 strings, ASCII symbols, one described list per frame.
package amqp
