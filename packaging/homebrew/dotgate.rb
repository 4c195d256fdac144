# Until there is a release, the source is a checkout, and there is only --HEAD. Homebrew takes formulae from taps alone:
#     brew tap-new local/dotgate
#     cp packaging/homebrew/dotgate.rb "$(brew --repository local/dotgate)/Formula/"
#     HOMEBREW_DOTGATE_CHECKOUT=$PWD brew install --HEAD local/dotgate/dotgate
class Dotgate < Formula
  desc "DNS forwarder: plain DNS in, DNS over TLS out"
  homepage "https://dotgate.example/"
  license any_of: ["MIT", "Apache-2.0"]
  head "file://#{ENV.fetch("HOMEBREW_DOTGATE_CHECKOUT", Dir.pwd)}", using: :git

  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args(path: "dotgate")
    generate_completions_from_executable(bin/"dotgate", "completions", shells: [:bash, :zsh, :fish])
    man8.install "docs/man/dotgate.8"
    (etc/"dotgate").mkpath
    # The settings that are required are commented out, so that nothing starts by accident.
    etc.install "packaging/linux/dotgate.toml" => "dotgate/dotgate.toml" unless (etc/"dotgate/dotgate.toml").exist?
  end

  def caveats
    <<~EOS
      Settings for this Mac: dotgate init --print > #{etc}/dotgate/dotgate.toml
      Port 53 needs root: sudo brew services start dotgate
    EOS
  end

  service do
    run [opt_bin/"dotgate", "--config", etc/"dotgate/dotgate.toml"]
    keep_alive crashed: true
    error_log_path var/"log/dotgate.log"
  end

  test do
    assert_match "NOERROR", shell_output("#{bin}/dotgate demo --once")
  end
end
