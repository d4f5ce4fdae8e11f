using System.Collections.Generic;
using System.Reflection;

[assembly: AssemblyVersion("6.0.0.0")]

// What MSAL asks of the library for metrics, whose build beside it is for another runtime: it may count
// what it does, and nobody listens.
namespace System.Diagnostics.Metrics
{
    public class Meter
    {
        public Meter(string name, string version) { Version = version; }
        public string Version { get; }
        public Counter<T> CreateCounter<T>(string name, string unit, string description) where T : struct => new Counter<T>();
        public Histogram<T> CreateHistogram<T>(string name, string unit, string description) where T : struct => new Histogram<T>();
    }

    public abstract class Instrument
    {
        public bool Enabled => false;
    }

    public sealed class Counter<T> : Instrument where T : struct
    {
        public void Add(T delta, params KeyValuePair<string, object>[] tags) { }
    }

    public sealed class Histogram<T> : Instrument where T : struct
    {
        public void Record(T value, params KeyValuePair<string, object>[] tags) { }
    }
}
