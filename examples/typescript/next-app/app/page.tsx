export default function Page() {
  return <p>POST /api/users creates a user.</p>;
}
