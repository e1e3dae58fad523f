//! A process that runs while a test talks to it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{DEADLINE, is_wine};

/// How long the end of a connection may take to reach a program under wine.
const WINE_SETTLES: Duration = Duration::from_millis(50);

/// A spawned program whose output is collected as it comes; killed when dropped.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    description: String,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
    text: Mutex<Text>,
    changed: Condvar,
}

impl Output {
    /// What there is. A test that fails while it looks has changed nothing, and its end shows what was there.
    fn text(&self) -> MutexGuard<'_, Text> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Text {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    open: usize,
}

impl Process {
    /// Starts `command` with pipes on all three standard streams.
    pub fn spawn(command: Command) -> Self {
        Self::spawn_onto(command, Stdio::piped())
    }

    /// The same with its standard output somewhere else, where the test looks after it.
    pub fn spawn_onto(mut command: Command, stdout: impl Into<Stdio>) -> Self {
        let description = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {description}: {e}"));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take().unwrap());
        let output = Arc::new(Output::default());
        output.text().open = 1 + usize::from(stdout.is_some());
        if let Some(stdout) = stdout {
            collect(stdout, &output, |text| &mut text.stdout);
        }
        collect(stderr, &output, |text| &mut text.stderr);
        let stdin = child.stdin.take();
        Self { child, stdin, description, output }
    }

    /// The process id, for tests that look at it from outside.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to standard input.
    pub fn write(&mut self, text: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("standard input was closed by the test");
        stdin.write_all(text.as_ref()).and_then(|()| stdin.flush()).unwrap_or_else(|e| {
            panic!("{}: cannot write to it: {e}\n{}", self.description, self.transcript());
        });
    }

    /// Closes standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits until `find` finds something in standard output.
    pub fn wait_stdout<T>(&self, what: &str, find: impl FnMut(&str) -> Option<T>) -> T {
        self.wait_for(what, |text| &text.stdout, find)
    }

    /// Waits until `find` finds something in standard error.
    pub fn wait_stderr<T>(&self, what: &str, find: impl FnMut(&str) -> Option<T>) -> T {
        self.wait_for(what, |text| &text.stderr, find)
    }

    /// Waits until standard output contains `part`.
    pub fn expect_stdout(&self, part: &str) {
        self.wait_stdout(part, |text| text.contains(part).then_some(()));
    }

    /// Waits until standard error contains `part`.
    pub fn expect_stderr(&self, part: &str) {
        self.wait_stderr(part, |text| text.contains(part).then_some(()));
    }

    fn wait_for<T>(
        &self,
        what: &str,
        stream: impl Fn(&Text) -> &Vec<u8>,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + *DEADLINE;
        let mut text = self.output.text();
        loop {
            if let Some(found) = find(&String::from_utf8_lossy(stream(&text))) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || text.open == 0 {
                drop(text);
                panic!("{}: never showed {what:?}\n{}", self.description, self.transcript());
            }
            text = self.output.changed.wait_timeout(text, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Everything on standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.text().stdout).into_owned()
    }

    /// The bytes on standard output so far.
    pub fn stdout_bytes(&self) -> Vec<u8> {
        self.output.text().stdout.clone()
    }

    /// Everything on standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.text().stderr).into_owned()
    }

    fn transcript(&self) -> String {
        format!("--- stdout\n{}\n--- stderr\n{}", self.stdout(), self.stderr())
    }

    /// Waits for the end of the process and of its output.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + *DEADLINE;
        let mut text = self.output.text();
        // Both streams end when the process does; only then is the exit status asked for, so nothing polls.
        while text.open > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(text);
                panic!("{}: did not end\n{}", self.description, self.transcript());
            }
            text = self.output.changed.wait_timeout(text, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(text);
        self.child.wait().unwrap()
    }

    /// Kills the process, as SIGKILL does, and waits for its end.
    pub fn kill(&mut self) {
        if is_wine() && matches!(self.child.try_wait(), Ok(None)) {
            // Where a program is killed while the end of a connection is on its way to it, wine 8's server goes on with a socket
            // that it has freed (sock_poll_event in its sock.c): it keeps the other connections of the program open, or crashes,
            // and then every program of wine ends, with exit code 0. Nothing tells when the end has arrived.
            thread::sleep(WINE_SETTLES);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal such as `TERM` or `INT`.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill -{name} failed");
    }

    /// Waits for the end and requires the exit code.
    pub fn expect_exit(&mut self, code: i32) {
        let status = self.wait();
        assert_eq!(status.code(), Some(code), "{}: {status}\n{}", self.description, self.transcript());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = self.child.try_wait().ok().flatten();
        self.kill();
        if thread::panicking() {
            // Whoever reads the failure needs to see what the other side of the conversation said, and whether it was there.
            let ended = ended.map_or("it was running".to_owned(), |status| format!("it had ended: {status}"));
            eprintln!("=== {}\n{}\n--- {ended}", self.description, self.transcript());
        }
    }
}

fn collect(
    stream: impl Read + Send + 'static,
    output: &Arc<Output>,
    select: impl Fn(&mut Text) -> &mut Vec<u8> + Send + 'static,
) {
    let output = Arc::clone(output);
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        loop {
            let piece = stream.fill_buf().unwrap_or_default();
            let n = piece.len();
            let mut text = output.text();
            if n == 0 {
                text.open -= 1;
            } else {
                select(&mut text).extend_from_slice(piece);
            }
            output.changed.notify_all();
            drop(text);
            if n == 0 {
                return;
            }
            stream.consume(n);
        }
    });
}

/// Waits until `check` holds for something that gives no event, such as a file of the system.
pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + *DEADLINE;
    while !check() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        thread::park_timeout(Duration::from_millis(10));
    }
}
