using System;
using System.Net.Http;
using System.Runtime.Serialization;
using System.Runtime.Serialization.Json;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Identity.Client;

/// <summary>What the test wants to be tried.</summary>
[DataContract]
internal sealed class Job
{
    [DataMember(Name = "cloud")] public string Cloud = "";
    [DataMember(Name = "user")] public string User = "";
    [DataMember(Name = "password")] public string Password = "";
}

/// <summary>How it ended: one of User and Error is set.</summary>
[DataContract]
internal sealed class Outcome
{
    [DataMember(Name = "user", EmitDefaultValue = false)] public string User;
    [DataMember(Name = "error", EmitDefaultValue = false)] public string Error;
    [DataMember(Name = "version")] public string Version = typeof(PublicClientApplication).Assembly.GetName().Version.ToString(3);
}

/// <summary>
/// Sends what is meant for Microsoft to the stand-in; everything else goes where the library wants it
/// to go. What vouches for servers is Mono's own store below $HOME.
/// </summary>
internal sealed class Client : DelegatingHandler, IMsalHttpClientFactory
{
    internal const string Microsoft = "https://login.microsoftonline.com";
    private readonly string cloud;

    internal Client(string cloud)
    {
        this.cloud = cloud;
        InnerHandler = new HttpClientHandler();
    }

    public HttpClient GetHttpClient() => new HttpClient(this, false);

    protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellation)
    {
        var url = request.RequestUri.AbsoluteUri;
        if (url.StartsWith(Microsoft + "/", StringComparison.Ordinal))
        {
            request.RequestUri = new Uri(cloud + url.Substring(Microsoft.Length));
            request.Headers.Remove("X-AnchorMailbox"); // for Microsoft's load balancers; Mono sends no names beyond ASCII
        }
        return base.SendAsync(request, cancellation);
    }
}

/// <summary>
/// Signs in with Microsoft's own library by user name and password. Reads {"cloud", "ca", "user",
/// "password"} as JSON on standard input and prints {"user"} or {"error"}.
/// </summary>
internal static class SignIn
{
    private static async Task<Outcome> Try(Job job)
    {
        var app = PublicClientApplicationBuilder.Create("00000000-1111-2222-3333-444444444444")
            .WithAuthority(Client.Microsoft + "/organizations", false)
            .WithInstanceDiscovery(false)
            .WithHttpClientFactory(new Client(job.Cloud))
            .Build();
        try
        {
#pragma warning disable 618 // the library advises against passwords, and people use them
            var got = await app.AcquireTokenByUsernamePassword(new[] { "User.Read" }, job.User, job.Password).ExecuteAsync();
#pragma warning restore 618
            return new Outcome { User = got.Account.Username };
        }
        catch (MsalException e)
        {
            return new Outcome { Error = e.ErrorCode + ": " + e.Message };
        }
    }

    private static void Main()
    {
        var job = (Job)new DataContractJsonSerializer(typeof(Job)).ReadObject(Console.OpenStandardInput());
        using (var output = Console.OpenStandardOutput())
        {
            new DataContractJsonSerializer(typeof(Outcome)).WriteObject(output, Try(job).GetAwaiter().GetResult());
        }
    }
}
